using System.Diagnostics;

namespace DoSandbox.Backends.Local;

/// <summary>The last resort against a supervisor that does not answer.</summary>
internal static class SupervisorProcess
{
    /// <summary>Kills it, and with it its sandbox, provided that the process of that id still is a supervisor.</summary>
    public static void Kill(int id)
    {
        try
        {
            using var process = Process.GetProcessById(id);
            if (File.ReadAllText($"/proc/{id}/cmdline").Contains("dosandbox-agent\0supervise", StringComparison.Ordinal))
            {
                process.Kill();
            }
        }
        catch (Exception exception) when (exception is ArgumentException or InvalidOperationException or IOException or UnauthorizedAccessException)
        {
            // It is gone, which is what was wanted, or another user's, which the caller finds out by waiting.
            return;
        }
    }
}
