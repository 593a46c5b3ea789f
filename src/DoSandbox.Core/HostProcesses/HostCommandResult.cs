using System.Text;

namespace DoSandbox.HostProcesses;

/// <summary>What a program of this machine left.</summary>
/// <param name="ExitCode">Its exit code; 128 + n after death by signal n.</param>
/// <param name="StdoutBytes">Standard output, exactly, up to the bound.</param>
/// <param name="StderrBytes">Standard error, likewise.</param>
/// <param name="OutputCut">True when a stream held more than was kept.</param>
/// <param name="Duration">From start to end.</param>
public sealed record HostCommandResult(int ExitCode, byte[] StdoutBytes, byte[] StderrBytes, bool OutputCut, TimeSpan Duration)
{
    /// <summary>Standard output as text: UTF-8, nothing trimmed.</summary>
    public string Stdout => Encoding.UTF8.GetString(StdoutBytes);

    /// <summary>Standard error as text, likewise.</summary>
    public string Stderr => Encoding.UTF8.GetString(StderrBytes);

    /// <summary>True when the exit code is 0.</summary>
    public bool Success => ExitCode == 0;

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"exit code {ExitCode}, {StdoutBytes.Length} and {StderrBytes.Length} bytes");
}
