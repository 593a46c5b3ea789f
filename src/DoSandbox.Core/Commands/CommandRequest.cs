using DoSandbox.Errors;

namespace DoSandbox.Commands;

/// <summary>One run of a shell command in a sandbox.</summary>
public sealed record CommandRequest
{
    /// <summary>Makes a request.</summary>
    /// <exception cref="SandboxException"><see cref="SandboxErrorCode.InvalidArgument"/>: the command is empty or holds a NUL.</exception>
    public CommandRequest(string command)
    {
        if (string.IsNullOrWhiteSpace(command))
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, "The command is empty.", "Say what to run, for example 'python3 -V'.");
        }

        if (command.Contains('\0', StringComparison.Ordinal))
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, "The command holds a NUL character, which no shell can take.",
                "Send the data as standard input or as a file instead.");
        }

        Command = command;
    }

    /// <summary>The command, as for <c>sh -c</c>.</summary>
    public string Command { get; }

    /// <summary>Working directory; the sandbox's own when null. The command does not run when it cannot be entered.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>Environment variables on top of the sandbox's own; any value but NUL is passed on exactly.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    /// <summary>After this long the command and its whole tree are killed; never when null.</summary>
    public TimeSpan? Timeout { get; init; }

    /// <summary>Standard input; empty when null. One that can seek is known beforehand, any other is streamed as it comes.</summary>
    public Stream? Stdin { get; init; }

    /// <summary>Refuses what no connection could run, before anything is sent.</summary>
    /// <exception cref="SandboxException"><see cref="SandboxErrorCode.InvalidArgument"/>.</exception>
    public void Validate()
    {
        foreach (var (name, value) in Environment)
        {
            if (name.Length == 0 || name.AsSpan().ContainsAny('=', '\0'))
            {
                throw new SandboxException(SandboxErrorCode.InvalidArgument, $"'{name.Replace("\0", "\\0", StringComparison.Ordinal)}' is no name of an environment variable.",
                    "Use letters, digits and _.");
            }

            if (value.Contains('\0', StringComparison.Ordinal))
            {
                throw new SandboxException(SandboxErrorCode.InvalidArgument, $"The value of the environment variable {name} holds a NUL character.",
                    "Send the data as standard input or as a file instead.");
            }
        }

        if (Timeout is { } timeout && (timeout <= TimeSpan.Zero || timeout > TimeSpan.FromDays(24)))
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, "The time-out is out of bounds.", "Use more than zero and at most 24 days.");
        }

        if (WorkingDirectory is { } directory && (directory.Length == 0 || directory.Contains('\0', StringComparison.Ordinal)))
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, "The working directory is empty or holds a NUL character.", "Use an absolute path such as /app.");
        }
    }
}
