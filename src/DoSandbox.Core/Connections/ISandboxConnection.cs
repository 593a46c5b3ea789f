using DoSandbox.Commands;

namespace DoSandbox.Connections;

/// <summary>A way into one running sandbox, kept open and used for many things at once. Thread-safe.</summary>
public interface ISandboxConnection : IAsyncDisposable
{
    /// <summary>Says whether the sandbox answers; throws what is wrong when it does not.</summary>
    /// <exception cref="Errors.SandboxException">Network, SandboxEnded, ProtocolViolation.</exception>
    Task PingAsync(CancellationToken cancellationToken);

    /// <summary>
    /// Runs a command. Exactly one <see cref="CommandStarted"/> comes first and exactly one <see cref="CommandExited"/> last.
    /// A caller that reads slowly slows the command. Cancelling the token, or leaving the enumeration early, ends the command and its whole tree.
    /// A caller that dies does not: the command goes on.
    /// </summary>
    /// <exception cref="Errors.SandboxException">CommandNotStarted: it did not run. OutcomeUnknown: the connection broke while it ran. SandboxEnded.</exception>
    IAsyncEnumerable<CommandEvent> RunAsync(CommandRequest request, CancellationToken cancellationToken);

    /// <summary>
    /// Whether a command's output arrives byte for byte. Where it does not (lines of text, a terminal), bytes have to come as a file.
    /// </summary>
    ValueTask<bool> HasExactOutputAsync(CancellationToken cancellationToken) => ValueTask.FromResult(true);

    /// <summary>Files of the sandbox.</summary>
    ISandboxFileSystem Files { get; }
}
