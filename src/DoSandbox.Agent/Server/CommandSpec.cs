using DoSandbox.Agent.Native;

namespace DoSandbox.Agent.Server;

/// <summary>What a client asked to run.</summary>
internal sealed record CommandSpec
{
    /// <summary>The shell command, or null for a shell that takes its commands from its input.</summary>
    public required string? Command { get; init; }

    /// <summary>The id it gets; a random one when null.</summary>
    public string? Id { get; init; }

    /// <summary>The working directory as the client wrote it, <c>~</c> and variables not yet replaced; the agent's own when null or empty.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>True where the client means the working directory as it stands.</summary>
    public bool ExactDirectory { get; init; }

    public Dictionary<string, string>? Variables { get; init; }

    /// <summary>None when null.</summary>
    public TimeSpan? TimeLimit { get; init; }

    /// <summary>The whole standard input; nothing when empty.</summary>
    public ReadOnlyMemory<byte> Input { get; init; }

    /// <summary>True leaves standard input open for <see cref="RunningCommand.Input"/>.</summary>
    public bool OpenInput { get; init; }

    /// <summary>True gives both streams one pipe, so that their order is kept.</summary>
    public bool MergeStreams { get; init; }

    /// <summary>Runs it in a terminal of that size instead of pipes.</summary>
    public TerminalSize? Terminal { get; init; }

    /// <summary>What the shell it runs in takes over and hands on; null for a shell of no session.</summary>
    public ShellState? State { get; init; }

    /// <summary>Bytes of output that its log keeps.</summary>
    public int LogCapacity { get; init; } = BoundedLog.DefaultCapacity;

    /// <summary>Reads a time-out in milliseconds as the API carries it.</summary>
    /// <exception cref="RequestException">400: below 1 or out of bounds.</exception>
    public static TimeSpan? ReadTimeLimit(long? milliseconds) => milliseconds switch
    {
        null => null,
        < 1 => throw RequestException.Invalid("The timeout is at least 1 millisecond."),
        > 0xfffffffe => throw RequestException.Invalid("The timeout is at most 4294967294 milliseconds (49 days)."),
        { } value => TimeSpan.FromMilliseconds(value),
    };
}
