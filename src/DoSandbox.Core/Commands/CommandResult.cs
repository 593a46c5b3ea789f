using System.Text;

namespace DoSandbox.Commands;

/// <summary>What a command left: its whole output and how it ended.</summary>
public sealed class CommandResult
{
    private string? _stdout;
    private string? _stderr;

    /// <summary>Makes a result.</summary>
    public CommandResult(byte[] stdoutBytes, byte[] stderrBytes, int? exitCode, int? signal, TimeSpan duration)
    {
        StdoutBytes = stdoutBytes;
        StderrBytes = stderrBytes;
        ExitCode = exitCode;
        Signal = signal;
        Duration = duration;
    }

    /// <summary>Standard output as text: UTF-8, every invalid byte as U+FFFD, nothing trimmed.</summary>
    public string Stdout => _stdout ??= Encoding.UTF8.GetString(StdoutBytes);

    /// <summary>Standard error as text, likewise.</summary>
    public string Stderr => _stderr ??= Encoding.UTF8.GetString(StderrBytes);

    /// <summary>Standard output, exactly.</summary>
    public byte[] StdoutBytes { get; }

    /// <summary>Standard error, exactly.</summary>
    public byte[] StderrBytes { get; }

    /// <summary>0 to 255; 128 + n after death by signal n; null when the command has none (the result of an error).</summary>
    public int? ExitCode { get; }

    /// <summary>The signal that ended the command, where the connection can tell.</summary>
    public int? Signal { get; }

    /// <summary>True when the exit code is 0.</summary>
    public bool Success => ExitCode == 0;

    /// <summary>From start to end.</summary>
    public TimeSpan Duration { get; }

    /// <inheritdoc/>
    public override string ToString() => Stdout;
}
