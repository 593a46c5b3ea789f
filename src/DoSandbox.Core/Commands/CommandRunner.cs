using System.Runtime.CompilerServices;
using DoSandbox.Connections;
using DoSandbox.Errors;

namespace DoSandbox.Commands;

/// <summary>The two ways in which a command's output is taken: all of it at its end, or line by line as it comes.</summary>
public static class CommandRunner
{
    /// <summary>Most bytes of output, both streams together, that <see cref="RunToEndAsync"/> keeps where no other bound is given.</summary>
    public const long DefaultMaxOutput = 256L * 1024 * 1024;

    /// <summary>Runs a command and keeps its whole output, byte for byte.</summary>
    /// <param name="connection">The way into the sandbox.</param>
    /// <param name="request">What to run.</param>
    /// <param name="cancellationToken">Ends the command and its whole tree.</param>
    /// <param name="maxOutput">Most bytes of both streams together; what writes more is ended.</param>
    /// <exception cref="CommandException">CommandTimedOut or OutputTooLarge, with the output so far.</exception>
    /// <exception cref="SandboxException">CommandNotStarted, OutcomeUnknown, SandboxEnded, Network.</exception>
    public static async Task<CommandResult> RunToEndAsync(this ISandboxConnection connection, CommandRequest request, CancellationToken cancellationToken,
        long maxOutput = DefaultMaxOutput)
    {
        var started = Environment.TickCount64;
        using var stdout = new OutputBuffer();
        using var stderr = new OutputBuffer();
        await foreach (var next in connection.RunAsync(request, cancellationToken).ConfigureAwait(false))
        {
            switch (next)
            {
                case CommandOutputReceived output:
                    var room = maxOutput - stdout.Length - stderr.Length;
                    var kept = output.Data.Length <= room ? output.Data : output.Data[..(int)room];
                    (output.Stream == OutputStream.Stdout ? stdout : stderr).Append(kept.Span);
                    if (kept.Length < output.Data.Length)
                    {
                        throw new CommandException(SandboxErrorCode.OutputTooLarge, $"The command was ended, as it wrote more than {maxOutput} bytes.",
                            new CommandResult(stdout.Take(), stderr.Take(), null, null, TimeSpan.FromMilliseconds(Environment.TickCount64 - started)));
                    }

                    break;
                case CommandExited exited:
                    return CheckTimeout(request, exited, new CommandResult(stdout.Take(), stderr.Take(), exited.ExitCode, exited.Signal, exited.Duration));
            }
        }

        throw new SandboxException(SandboxErrorCode.OutcomeUnknown, "The command's outcome is unknown: its events ended without an exit.");
    }

    /// <summary>
    /// Runs a command and hands out its lines as they come: each a <see cref="CommandOutput"/>, and last the <see cref="CommandExited"/>.
    /// Leaving the enumeration ends the command.
    /// </summary>
    /// <exception cref="CommandException">CommandTimedOut; its result holds no output, as that was handed out.</exception>
    /// <exception cref="SandboxException">CommandNotStarted, OutcomeUnknown, SandboxEnded, Network.</exception>
    public static async IAsyncEnumerable<object> StreamLinesAsync(this ISandboxConnection connection, CommandRequest request,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var stdout = new LineSplitter();
        var stderr = new LineSplitter();
        await foreach (var next in connection.RunAsync(request, cancellationToken).ConfigureAwait(false))
        {
            switch (next)
            {
                case CommandOutputReceived output:
                    var splitter = output.Stream == OutputStream.Stdout ? stdout : stderr;
                    var rest = output.Data;
                    var now = DateTimeOffset.UtcNow;
                    while (splitter.TryRead(ref rest, out var line))
                    {
                        yield return new CommandOutput(output.Stream, line, now);
                    }

                    break;
                case CommandExited exited:
                    if (stdout.Finish() is { } lastOut)
                    {
                        yield return new CommandOutput(OutputStream.Stdout, lastOut, DateTimeOffset.UtcNow);
                    }

                    if (stderr.Finish() is { } lastError)
                    {
                        yield return new CommandOutput(OutputStream.Stderr, lastError, DateTimeOffset.UtcNow);
                    }

                    CheckTimeout(request, exited, new CommandResult([], [], exited.ExitCode, exited.Signal, exited.Duration));
                    yield return exited;
                    break;
            }
        }
    }

    private static CommandResult CheckTimeout(CommandRequest request, CommandExited exited, CommandResult result) => exited.TimedOut
        ? throw new CommandException(SandboxErrorCode.CommandTimedOut,
            $"The command did not end within {(request.Timeout ?? exited.Duration).TotalSeconds:0.###} seconds and was ended with everything it had started.", result)
        : result;
}
