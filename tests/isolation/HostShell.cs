using System.Diagnostics;

namespace DoSandbox.IsolationTests;

/// <summary>Shell commands on the host, for what a test sets up or looks at there.</summary>
internal static class HostShell
{
    public static Process Start(string command)
    {
        var start = new ProcessStartInfo("/bin/sh") { ArgumentList = { "-c", command }, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false };
        return Process.Start(start)!;
    }

    public static async Task<string> RunAsync(string command, int seconds = 60)
    {
        using var process = Start(command);
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(seconds));
        Assert.True(process.ExitCode == 0, $"{command}: {await error}");
        return await output;
    }
}
