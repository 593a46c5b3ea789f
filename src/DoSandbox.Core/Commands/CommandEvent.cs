namespace DoSandbox.Commands;

/// <summary>Which of a command's two output streams.</summary>
public enum OutputStream
{
    Stdout,
    Stderr,
}

/// <summary>What a command does, in order: started, output any number of times, exited.</summary>
public abstract record CommandEvent;

/// <summary>The command runs.</summary>
/// <param name="Id">The connection's id of the command.</param>
/// <param name="ProcessId">Its process id in the sandbox, where known.</param>
public sealed record CommandStarted(string Id, int? ProcessId) : CommandEvent;

/// <summary>A piece of output. <see cref="Data"/> is valid until the next event is asked for: keep a copy, not the memory.</summary>
public sealed record CommandOutputReceived(OutputStream Stream, ReadOnlyMemory<byte> Data) : CommandEvent;

/// <summary>The command ended; always the last event. A sequence that ends without it is an unknown outcome, and connections throw instead.</summary>
/// <param name="ExitCode">0 to 255; 128 + n after death by signal n.</param>
/// <param name="Signal">The signal that ended it, where the connection can tell.</param>
/// <param name="TimedOut">True when the time-out ended it.</param>
/// <param name="Duration">From start to end, as measured next to the command where possible.</param>
public sealed record CommandExited(int ExitCode, int? Signal, bool TimedOut, TimeSpan Duration) : CommandEvent;
