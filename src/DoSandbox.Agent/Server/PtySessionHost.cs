using System.Buffers.Binary;
using System.Net.WebSockets;
using DoSandbox.Agent.Native;
using DoSandbox.Wire.Execd;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary>
/// One session of <c>/pty</c>: a command in a terminal or with pipes that one client at a time is attached to. It starts
/// with the first client and goes on without one; its last output is kept for the next. Its id is the command's.
/// </summary>
internal sealed class PtySessionHost(CommandRegistry registry, CommandSpec spec)
{
    /// <summary>Bytes of output kept for a client that attaches again.</summary>
    public const int ReplaySize = 1024 * 1024;

    /// <summary>Close status of a client whose session another one took over.</summary>
    public const WebSocketCloseStatus TakenOver = (WebSocketCloseStatus)4001;

    private const int ReplayChunk = 64 * 1024;

    private static readonly TimeSpan DisplaceGrace = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();

    // Held while output goes to the log and the client, and by whoever changes the client: no byte is lost or sent twice between the two.
    private readonly SemaphoreSlim _delivery = new(1, 1);
    private readonly SemaphoreSlim _typing = new(1, 1);
    private readonly CancellationTokenSource _over = new();
    private PtyClient? _holder;
    private PtyClient? _live;
    private RunningCommand? _command;
    private PipeWriterEnd? _input;
    private bool _toldEnd;
    private bool _ended;

    /// <summary>True once its command was started and is over.</summary>
    public bool HasEnded => _command is { IsOver: true };

    public PtySession Describe() => new()
    {
        SessionId = spec.Id!,
        Running = _command is { IsOver: false },
        OutputOffset = _command?.Log?.End ?? 0,
    };

    /// <summary>Attaches a client until it goes away, is displaced or the command ends. Starts the command when it is the first.</summary>
    /// <param name="context">The request for a websocket.</param>
    /// <param name="asked">How to attach.</param>
    /// <exception cref="RequestException">409: another client is there and is not to be displaced.</exception>
    public async Task AttachAsync(HttpContext context, PtyAttachment asked)
    {
        if (asked.TakeOver)
        {
            // Nobody loses the session to a request that could not use it.
            WebSocketHandshake.Check(context);
        }

        using var client = new PtyClient(context.RequestAborted);
        PtyClient? displaced;
        lock (_gate)
        {
            displaced = _holder;
            if (displaced is not null && !asked.TakeOver)
            {
                throw new RequestException(409, "ALREADY_CONNECTED", $"The session {spec.Id} has a client already.");
            }

            _holder = client;
        }

        try
        {
            // A terminal's client types little, so its answers to pings come through; a pipe's may wait behind input that nobody reads yet.
            client.Open(await WebSocketHandshake.AcceptAsync(context, expectPongs: asked.InTerminal).ConfigureAwait(false));
            if (displaced is not null)
            {
                await DisplaceAsync(displaced).ConfigureAwait(false);
            }

            await ServeAsync(client, asked).ConfigureAwait(false);
        }
        catch (Exception e) when (client.IsOpen && PtyClient.IsLoss(e))
        {
            // The client is gone; the command goes on.
        }
        finally
        {
            Interlocked.CompareExchange(ref _live, null, client);
            lock (_gate)
            {
                _holder = _holder == client ? null : _holder;
            }

            await client.LeaveAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Kills what runs.</summary>
    public async Task EndAsync()
    {
        RunningCommand? command;
        lock (_gate)
        {
            _ended = true;
            command = _command;
        }

        if (command is not null && !await command.InterruptAsync().ConfigureAwait(false))
        {
            await command.KillTreeAsync().ConfigureAwait(false);
        }
    }

    private async Task DisplaceAsync(PtyClient old)
    {
        // Between two frames, so that the old client sees a proper end; one that does not read is cut off.
        if (await _delivery.WaitAsync(DisplaceGrace).ConfigureAwait(false))
        {
            try
            {
                Interlocked.CompareExchange(ref _live, null, old);
                await old.CloseAsync(TakenOver, "TAKEN_OVER", DisplaceGrace).ConfigureAwait(false);
            }
            finally
            {
                _delivery.Release();
            }
        }
        else
        {
            old.Drop();
        }
    }

    private async Task ServeAsync(PtyClient client, PtyAttachment asked)
    {
        RunningCommand? command = null;
        await _delivery.WaitAsync(client.Gone).ConfigureAwait(false);
        try
        {
            command = Start(asked);
            await client.SendAsync(new PtyMessage { Type = "connected", SessionId = spec.Id, Mode = command.Terminal is null ? "pipe" : "pty" }).ConfigureAwait(false);
            await ReplayAsync(client, command.OpenLog(), asked.Since).ConfigureAwait(false);
            if (asked.Size is { } size)
            {
                command.Terminal?.Resize(size);
            }

            if (_toldEnd)
            {
                await SendEndAsync(client, command).ConfigureAwait(false);
            }
            else
            {
                Volatile.Write(ref _live, client);
            }
        }
        catch (RequestException e)
        {
            await client.SendAsync(new PtyMessage { Type = "error", Code = "START_FAILED", Error = e.Message }).ConfigureAwait(false);
            await client.CloseAsync(WebSocketCloseStatus.InternalServerError, "start failed", DisplaceGrace).ConfigureAwait(false);
        }
        finally
        {
            _delivery.Release();
        }

        // Without a command there is only the answer to the goodbye to wait for.
        await client.ReceiveAsync(
            (data, gone) => command is null ? Task.CompletedTask : TypeAsync(command, data, gone),
            () =>
            {
                // The end of the input is a pipe's; in a terminal it is a character.
                if (command is { Terminal: null })
                {
                    command.Input!.Dispose();
                }
            },
            message => command is null ? Task.CompletedTask : HandleAsync(client, command, message)).ConfigureAwait(false);
    }

    private RunningCommand Start(PtyAttachment asked)
    {
        lock (_gate)
        {
            if (_ended)
            {
                throw RequestException.Failed("The session was deleted.");
            }

            if (_command is not null)
            {
                return _command;
            }

            var effective = spec;
            if (asked.InTerminal)
            {
                var variables = new Dictionary<string, string>(spec.Variables ?? [], StringComparer.Ordinal);
                variables.TryAdd("TERM", "xterm-256color");
                effective = spec with { Terminal = asked.Size ?? TerminalSize.Default, Variables = variables };
            }

            var command = _command = registry.Start(effective);
            _input = new PipeWriterEnd(command.Input!);
            _ = Task.Run(() => PumpAsync(command));
            return command;
        }
    }

    private async Task PumpAsync(RunningCommand command)
    {
        await command.PumpToSinkAsync(new SessionSink(this, command.OpenLog())).ConfigureAwait(false);
        await _over.CancelAsync().ConfigureAwait(false);
        await _delivery.WaitAsync().ConfigureAwait(false);
        try
        {
            _toldEnd = true;
            _input!.Dispose();
            if (Interlocked.Exchange(ref _live, null) is { } client)
            {
                await SendEndAsync(client, command).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (PtyClient.IsLoss(e))
        {
            // Nobody is left to tell; a client that attaches later is told.
        }
        finally
        {
            _delivery.Release();
        }
    }

    private static async Task SendEndAsync(PtyClient client, RunningCommand command)
    {
        await client.SendAsync(new PtyMessage
        {
            Type = "exit",
            ExitCode = command.Status!.Value.ExitCode,
            Signal = command.Status.Value.Signal is { } signal ? PtySignal.NameOf(signal) : null,
            TimedOut = command.TimedOut,
        }).ConfigureAwait(false);
        await client.CloseAsync(WebSocketCloseStatus.NormalClosure, "process exited", Timeout.InfiniteTimeSpan).ConfigureAwait(false);
    }

    private static async Task ReplayAsync(PtyClient client, BoundedLog log, long since)
    {
        const int Header = 1 + sizeof(long);
        var position = Math.Max(since, log.Start);
        if (position >= log.End)
        {
            return;
        }

        var frame = new byte[Header + (int)Math.Min(ReplayChunk, log.End - position)];
        while (log.Read(position, frame.AsSpan(Header)) is var count and > 0)
        {
            frame[0] = PtyFrames.Replay;
            BinaryPrimitives.WriteInt64BigEndian(frame.AsSpan(1), position);
            await client.SendAsync(frame.AsMemory(0, Header + count)).ConfigureAwait(false);
            position += count;
        }
    }

    private async Task HandleAsync(PtyClient client, RunningCommand command, PtyMessage message)
    {
        switch (message.Type)
        {
            case "stdin":
                await TypeAsync(command, System.Text.Encoding.UTF8.GetBytes(message.Data ?? ""), client.Gone).ConfigureAwait(false);
                break;
            case "signal" when SignalNames.Parse(message.Signal) is { } signal:
                command.SignalForeground(signal);
                break;
            case "signal":
                await RefuseAsync($"There is no signal {message.Signal}.").ConfigureAwait(false);
                break;
            case "resize" when PtyAttachment.ReadSize(message.Cols, message.Rows) is { } size:
                // Pipes have no size.
                command.Terminal?.Resize(size);
                break;
            case "resize":
                await RefuseAsync("A terminal has 1 to 65535 columns and rows.").ConfigureAwait(false);
                break;
            case "ping":
                await client.SendAsync(new PtyMessage { Type = "pong" }).ConfigureAwait(false);
                break;
            default:
                await RefuseAsync($"unknown frame type \"{message.Type}\"").ConfigureAwait(false);
                break;
        }

        Task RefuseAsync(string error) => client.SendAsync(new PtyMessage { Type = "error", Code = "INVALID_FRAME", Error = error });
    }

    private async Task TypeAsync(RunningCommand command, ReadOnlyMemory<byte> data, CancellationToken gone)
    {
        await _typing.WaitAsync(gone).ConfigureAwait(false);
        try
        {
            if (!command.Input!.IsClosed)
            {
                using var either = CancellationTokenSource.CreateLinkedTokenSource(gone, _over.Token);
                await _input!.WriteAsync(data, either.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (_over.IsCancellationRequested && !gone.IsCancellationRequested)
        {
            // It is over, and nobody reads.
        }
        catch (Exception e) when (e is LinuxException or ObjectDisposedException)
        {
            // The command closed its input, as `head` does, or ended: what still comes is for nobody.
            command.Input!.Dispose();
        }
        finally
        {
            _typing.Release();
        }
    }

    /// <summary>Output goes to the log and, as fast as it takes it, to the client there is.</summary>
    private sealed class SessionSink(PtySessionHost session, BoundedLog log) : OutputSink
    {
        private byte[] _buffer = [];
        private int _length;

        public override Memory<byte> Reserve(bool error, int size)
        {
            if (_length > 0)
            {
                throw new InvalidOperationException("The last frame has not been sent yet.");
            }

            if (_buffer.Length < size + 1)
            {
                _buffer = GC.AllocateUninitializedArray<byte>(Math.Max(size + 1, 8192));
            }

            _buffer[0] = error ? PtyFrames.Stderr : PtyFrames.Stdout;
            return _buffer.AsMemory(1);
        }

        public override void Commit(int count) => _length = count + 1;

        public override async ValueTask<bool> FlushAsync()
        {
            if (_length == 0)
            {
                return true;
            }

            await session._delivery.WaitAsync().ConfigureAwait(false);
            var client = Volatile.Read(ref session._live);
            try
            {
                log.Append(_buffer.AsSpan(1, _length - 1));
                if (client is not null)
                {
                    await client.SendAsync(_buffer.AsMemory(0, _length)).ConfigureAwait(false);
                }
            }
            catch (Exception)
            {
                // However the client fails to take it: the command must not stand still for want of a reader.
                Interlocked.CompareExchange(ref session._live, null, client);
                client?.Drop();
            }
            finally
            {
                _length = 0;
                session._delivery.Release();
            }

            return true;
        }
    }
}
