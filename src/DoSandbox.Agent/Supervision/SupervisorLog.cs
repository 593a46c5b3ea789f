using System.Globalization;
using System.Text;
using DoSandbox.Agent.Native;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Supervision;

/// <summary>
/// Lines for supervisor.log, which is the standard error of supervisor, bubblewrap and agent. Written without Console: that class installs a
/// handler for SIGCHLD, and the runtime would then reap the supervisor's children itself.
/// </summary>
internal static class SupervisorLog
{
    private static readonly SafeFileHandle StandardError = new(2, ownsHandle: false);

    public static void Write(string message)
    {
        var line = string.Create(CultureInfo.InvariantCulture, $"{DateTimeOffset.UtcNow:O} {message}\n");
        try
        {
            Descriptors.WriteAll(StandardError, Encoding.UTF8.GetBytes(line));
        }
        catch (IOException)
        {
            // A full disk must not end a sandbox that runs.
        }
    }
}
