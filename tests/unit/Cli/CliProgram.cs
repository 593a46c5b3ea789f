using System.Diagnostics;
using System.Runtime.InteropServices;
using DoSandbox.HostProcesses;

namespace DoSandbox.UnitTests.Cli;

/// <summary>The real program <c>sandbox</c>, with a state folder of its own.</summary>
public class CliProgram : IDisposable
{
    public static string Path { get; } = System.IO.Path.Combine(AppContext.BaseDirectory, "sandbox");

    /// <summary>A sandbox's own user must be able to pass through, so not the 0700 of an ordinary temporary folder.</summary>
    public string Home { get; } = MakeHome();

    public HostCommand Command(params string[] arguments) =>
        HostCommand.For(Path).WithArguments(arguments).WithEnvironment("DOSANDBOX_HOME", Home).WithEnvironment("DOSANDBOX_BACKEND", null)
            .WithDeadline(TimeSpan.FromMinutes(1)).WithMaxOutput(64 * 1024 * 1024);

    public Task<HostCommandResult> RunAsync(params string[] arguments) => Command(arguments).RunAsync();

    /// <summary>
    /// Starts it to be signalled. A test run in the background of a shell has SIGINT ignored, and passes that on to what it starts; env undoes it.
    /// </summary>
    public Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo("/usr/bin/env", ["--default-signal=INT,TERM", Path, .. arguments]) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["DOSANDBOX_HOME"] = Home;
        return Process.Start(start)!;
    }

    public virtual void Dispose()
    {
        Directory.Delete(Home, recursive: true);
        GC.SuppressFinalize(this);
    }

    [DllImport("libc", EntryPoint = "kill")]
    public static extern int Signal(int process, int signal);

    private static string MakeHome()
    {
        var folder = System.IO.Path.Combine("/tmp", $"dsb-{Guid.NewGuid():N}"[..12]);
        Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute);
        return folder;
    }
}
