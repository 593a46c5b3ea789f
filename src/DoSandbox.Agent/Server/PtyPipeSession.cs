using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using DoSandbox.Agent.Native;
using DoSandbox.Wire.Execd;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary>One session of <c>/pty</c> in pipe mode. Its command starts with the first websocket; its id is the command's.</summary>
internal sealed class PtyPipeSession(CommandRegistry registry, CommandSpec spec)
{
    private const int ReceiveBuffer = 64 * 1024;
    private const int MaxText = 1024 * 1024;

    private static readonly TimeSpan CloseGrace = TimeSpan.FromSeconds(5);

    private readonly Lock _gate = new();
    private RunningCommand? _command;
    private long _delivered;
    private bool _started;
    private bool _attached;
    private bool _ended;

    /// <summary>True once its command was started and is over.</summary>
    public bool HasEnded => _command is { IsOver: true };

    public PtySession Describe() => new()
    {
        SessionId = spec.Id!,
        Running = _command is { IsOver: false },
        OutputOffset = Interlocked.Read(ref _delivered) + (_command?.Log?.End ?? 0),
    };

    /// <summary>Starts the command and carries its streams until it ends or the client goes away; then it runs on with its output in its log.</summary>
    /// <exception cref="RequestException">409: another client is there; 501: there was one before.</exception>
    public async Task AttachAsync(HttpContext context)
    {
        lock (_gate)
        {
            if (_attached)
            {
                throw new RequestException(409, "ALREADY_CONNECTED", $"The session {spec.Id} has a client already.");
            }

            if (_started)
            {
                throw new RequestException(
                    501, ExecdErrorCodes.NotSupported,
                    $"The session {spec.Id} had a client before, and attaching again is not supported by this agent. Its output since then: /command/{spec.Id}/logs.");
            }

            _attached = true;
        }

        try
        {
            using var socket = await WebSocketHandshake.AcceptAsync(context).ConfigureAwait(false);
            await ServeAsync(socket, context.RequestAborted).ConfigureAwait(false);
        }
        finally
        {
            _attached = false;
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

    private async Task ServeAsync(WebSocket socket, CancellationToken aborted)
    {
        using var gone = CancellationTokenSource.CreateLinkedTokenSource(aborted);
        using var sink = new SocketSink(socket, gone.Token, count => Interlocked.Add(ref _delivered, count));
        RunningCommand command;
        try
        {
            lock (_gate)
            {
                if (_ended)
                {
                    throw RequestException.Failed("The session was deleted.");
                }

                _started = true;
                command = _command = registry.Start(spec);
            }
        }
        catch (RequestException e)
        {
            await sink.SendAsync(new PtyMessage { Type = "error", Code = "START_FAILED", Error = e.Message }).ConfigureAwait(false);
            await sink.CloseAsync(WebSocketCloseStatus.InternalServerError, "start failed").ConfigureAwait(false);
            gone.CancelAfter(CloseGrace);
            await DiscardAsync(socket, gone.Token).ConfigureAwait(false);
            return;
        }

        using var over = CancellationTokenSource.CreateLinkedTokenSource(gone.Token);
        var input = Task.CompletedTask;
        try
        {
            try
            {
                await sink.SendAsync(new PtyMessage { Type = "connected", SessionId = spec.Id, Mode = "pipe" }).ConfigureAwait(false);
                input = ReceiveAsync(socket, sink, command, over.Token, gone);
            }
            finally
            {
                if (await command.PumpToClientAsync(sink, gone.Token).ConfigureAwait(false))
                {
                    await over.CancelAsync().ConfigureAwait(false);
                    await sink.SendAsync(new PtyMessage
                    {
                        Type = "exit",
                        ExitCode = command.Status!.Value.ExitCode,
                        Signal = command.Status.Value.Signal is { } signal ? PtySignal.NameOf(signal) : null,
                        TimedOut = command.TimedOut,
                    }).ConfigureAwait(false);
                    await sink.CloseAsync(WebSocketCloseStatus.NormalClosure, "process exited").ConfigureAwait(false);

                    // The client answers the close. Hanging up with input unread would cost it what it has not read yet:
                    // the kernel then drops that too.
                    gone.CancelAfter(CloseGrace);
                    await input.ConfigureAwait(false);
                }
            }
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException or IOException)
        {
            // The client is gone; the command goes on.
        }
        finally
        {
            await gone.CancelAsync().ConfigureAwait(false);
            await input.ConfigureAwait(false);
        }
    }

    /// <summary>Takes the client's frames until it goes away. While the command does not read, neither does this; once it is over, they are for nobody.</summary>
    private static async Task ReceiveAsync(WebSocket socket, SocketSink sink, RunningCommand command, CancellationToken over, CancellationTokenSource gone)
    {
        var buffer = new byte[ReceiveBuffer];
        var text = new MemoryStream();
        using var input = new PipeWriterEnd(command.Input!);
        try
        {
            var first = true;
            byte kind = 0;
            while (true)
            {
                var received = await socket.ReceiveAsync(buffer.AsMemory(), gone.Token).ConfigureAwait(false);
                if (received.MessageType == WebSocketMessageType.Close)
                {
                    break;
                }

                if (over.IsCancellationRequested)
                {
                    continue;
                }

                var data = buffer.AsMemory(0, received.Count);
                if (received.MessageType == WebSocketMessageType.Binary)
                {
                    if (first && data.Length > 0)
                    {
                        kind = data.Span[0];
                        data = data[1..];
                        first = false;
                    }

                    if (kind == PtyFrames.Stdin)
                    {
                        await WriteInputAsync(command, input, data, over).ConfigureAwait(false);
                    }
                    else if (kind == PtyFrames.EndOfInput && received.EndOfMessage)
                    {
                        command.Input!.Dispose();
                    }
                }
                else
                {
                    if (text.Length + data.Length > MaxText)
                    {
                        break;
                    }

                    text.Write(data.Span);
                    if (received.EndOfMessage)
                    {
                        var message = text.ToArray();
                        text.SetLength(0);
                        await HandleTextAsync(message, sink, command, input, over).ConfigureAwait(false);
                    }
                }

                first |= received.EndOfMessage;
                kind = received.EndOfMessage ? (byte)0xFF : kind;
            }
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException or IOException or ObjectDisposedException)
        {
            // Gone without a word.
        }

        await gone.CancelAsync().ConfigureAwait(false);
    }

    private static async Task HandleTextAsync(byte[] message, SocketSink sink, RunningCommand command, PipeWriterEnd input, CancellationToken over)
    {
        PtyMessage? frame;
        try
        {
            frame = JsonSerializer.Deserialize(message, ExecdJson.Default.PtyMessage);
        }
        catch (JsonException)
        {
            return;
        }

        switch (frame?.Type)
        {
            case "stdin":
                await WriteInputAsync(command, input, Encoding.UTF8.GetBytes(frame.Data ?? ""), over).ConfigureAwait(false);
                break;
            case "signal":
                if (SignalNames.Parse(frame.Signal) is { } signal)
                {
                    command.Signal(signal);
                }
                else
                {
                    await sink.SendAsync(new PtyMessage { Type = "error", Code = "INVALID_FRAME", Error = $"There is no signal {frame.Signal}." }).ConfigureAwait(false);
                }

                break;
            case "resize":
                // Pipes have no size.
                break;
            case "ping":
                await sink.SendAsync(new PtyMessage { Type = "pong" }).ConfigureAwait(false);
                break;
            default:
                await sink.SendAsync(new PtyMessage { Type = "error", Code = "INVALID_FRAME", Error = $"unknown frame type \"{frame?.Type}\"" }).ConfigureAwait(false);
                break;
        }
    }

    private static async Task WriteInputAsync(RunningCommand command, PipeWriterEnd input, ReadOnlyMemory<byte> data, CancellationToken over)
    {
        if (command.Input!.IsClosed)
        {
            return;
        }

        try
        {
            await input.WriteAsync(data, over).ConfigureAwait(false);
        }
        catch (LinuxException)
        {
            // The command closed its input, as `head` does: what still comes is for nobody.
            command.Input.Dispose();
        }
        catch (Exception e) when (command.IsOver && e is OperationCanceledException or ObjectDisposedException)
        {
            // It is over, and nobody reads.
        }
    }

    private static async Task DiscardAsync(WebSocket socket, CancellationToken gone)
    {
        var buffer = new byte[ReceiveBuffer];
        try
        {
            while ((await socket.ReceiveAsync(buffer.AsMemory(), gone).ConfigureAwait(false)).MessageType != WebSocketMessageType.Close)
            {
            }
        }
        catch (Exception e) when (e is WebSocketException or OperationCanceledException or IOException)
        {
            // Gone without a word.
        }
    }

    private sealed class SocketSink(WebSocket socket, CancellationToken gone, Action<int> delivered) : OutputSink, IDisposable
    {
        private readonly SemaphoreSlim _sending = new(1, 1);
        private byte[] _buffer = [];
        private int _length;
        private bool _closed;

        public override Memory<byte> Reserve(bool error, int size)
        {
            if (_length > 0)
            {
                throw new InvalidOperationException("The last frame has not been sent yet.");
            }

            if (_buffer.Length < size + 1)
            {
                _buffer = GC.AllocateUninitializedArray<byte>(Math.Max(size + 1, 4096));
            }

            _buffer[0] = error ? PtyFrames.Stderr : PtyFrames.Stdout;
            return _buffer.AsMemory(1);
        }

        public override void Commit(int count) => _length = count + 1;

        public override async ValueTask<bool> FlushAsync()
        {
            if (_length > 0)
            {
                await SendAsync(_buffer.AsMemory(0, _length), WebSocketMessageType.Binary).ConfigureAwait(false);
                delivered(_length - 1);
                _length = 0;
            }

            return socket.State == WebSocketState.Open;
        }

        public Task SendAsync(PtyMessage message) =>
            SendAsync(JsonSerializer.SerializeToUtf8Bytes(message, ExecdJson.Default.PtyMessage), WebSocketMessageType.Text);

        public async Task CloseAsync(WebSocketCloseStatus status, string reason)
        {
            await _sending.WaitAsync(gone).ConfigureAwait(false);
            try
            {
                _closed = true;
                await socket.CloseOutputAsync(status, reason, gone).ConfigureAwait(false);
            }
            finally
            {
                _sending.Release();
            }
        }

        public void Dispose() => _sending.Dispose();

        private async Task SendAsync(ReadOnlyMemory<byte> data, WebSocketMessageType type)
        {
            await _sending.WaitAsync(gone).ConfigureAwait(false);
            try
            {
                // An answer to what was received just before the end comes too late.
                if (!_closed)
                {
                    await socket.SendAsync(data, type, endOfMessage: true, gone).ConfigureAwait(false);
                }
            }
            finally
            {
                _sending.Release();
            }
        }
    }
}
