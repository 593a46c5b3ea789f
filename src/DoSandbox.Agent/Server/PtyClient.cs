using System.Net.WebSockets;
using System.Text.Json;
using DoSandbox.Wire.Execd;

namespace DoSandbox.Agent.Server;

/// <summary>The client's end of a session of <c>/pty</c>: frames to and from a websocket.</summary>
internal sealed class PtyClient : IDisposable
{
    private const int ReceiveBuffer = 64 * 1024;
    private const int MaxText = 1024 * 1024;

    private static readonly TimeSpan CloseGrace = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource _gone;
    private readonly SemaphoreSlim _sending = new(1, 1);
    private WebSocket? _socket;
    private bool _closed;

    public PtyClient(CancellationToken aborted)
    {
        _gone = CancellationTokenSource.CreateLinkedTokenSource(aborted);
        Gone = _gone.Token;
    }

    /// <summary>Cancelled when the client is gone or is to go.</summary>
    public CancellationToken Gone { get; }

    public bool IsOpen => _socket is not null;

    /// <summary>True for what a lost client throws.</summary>
    public static bool IsLoss(Exception error) =>
        error is WebSocketException or OperationCanceledException or IOException or ObjectDisposedException or InvalidOperationException;

    public void Open(WebSocket socket) => _socket = socket;

    /// <summary>Sends a binary frame. Waits as long as the client is slow.</summary>
    public Task SendAsync(ReadOnlyMemory<byte> frame) => SendAsync(frame, WebSocketMessageType.Binary);

    public Task SendAsync(PtyMessage message) =>
        SendAsync(JsonSerializer.SerializeToUtf8Bytes(message, ExecdJson.Default.PtyMessage), WebSocketMessageType.Text);

    /// <summary>Says goodbye; the client has a moment to answer it, as hanging up before could cost it what it has not read yet.</summary>
    public async Task CloseAsync(WebSocketCloseStatus status, string reason, TimeSpan bound)
    {
        if (_socket is null)
        {
            Drop();
            return;
        }

        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Gone);
        limit.CancelAfter(bound);
        try
        {
            await _sending.WaitAsync(limit.Token).ConfigureAwait(false);
            try
            {
                _closed = true;
                await _socket.CloseOutputAsync(status, reason, limit.Token).ConfigureAwait(false);
            }
            finally
            {
                _sending.Release();
            }

            _gone.CancelAfter(CloseGrace);
        }
        catch (Exception e) when (IsLoss(e))
        {
            Drop();
        }
    }

    /// <summary>Cuts the client off.</summary>
    public void Drop()
    {
        try
        {
            _gone.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // Gone by itself in this moment.
        }
    }

    /// <summary>Takes the client's frames until it goes away. While the command does not read, neither does this; after the goodbye they are thrown away.</summary>
    public async Task ReceiveAsync(Func<ReadOnlyMemory<byte>, CancellationToken, Task> onInput, Action onEndOfInput, Func<PtyMessage, Task> onMessage)
    {
        var buffer = new byte[ReceiveBuffer];
        var text = new MemoryStream();
        var first = true;
        byte kind = 0;
        while (true)
        {
            var received = await _socket!.ReceiveAsync(buffer.AsMemory(), Gone).ConfigureAwait(false);
            var data = buffer.AsMemory(0, received.Count);
            switch (received.MessageType)
            {
                case WebSocketMessageType.Close:
                    return;
                case var _ when Volatile.Read(ref _closed):
                    // For nobody any more, yet to be taken: hanging up with input unread would cost the client what it has not read yet.
                    break;
                case WebSocketMessageType.Binary:
                    if (first && data.Length > 0)
                    {
                        kind = data.Span[0];
                        data = data[1..];
                    }

                    if (kind == PtyFrames.Stdin && !(first && received.Count == 0))
                    {
                        await onInput(data, Gone).ConfigureAwait(false);
                    }
                    else if (kind == PtyFrames.EndOfInput && received.EndOfMessage)
                    {
                        onEndOfInput();
                    }

                    first = received.EndOfMessage || (first && received.Count == 0);
                    kind = first ? (byte)0xFF : kind;
                    break;
                default:
                    if (text.Length + data.Length > MaxText)
                    {
                        return;
                    }

                    text.Write(data.Span);
                    if (received.EndOfMessage)
                    {
                        var message = text.ToArray();
                        text.SetLength(0);
                        if (Parse(message) is { } parsed)
                        {
                            await onMessage(parsed).ConfigureAwait(false);
                        }
                    }

                    break;
            }
        }
    }

    /// <summary>The last thing done: answers the client's own goodbye, if there was one.</summary>
    public async Task LeaveAsync()
    {
        if (_socket is { State: WebSocketState.CloseReceived })
        {
            await CloseAsync(WebSocketCloseStatus.NormalClosure, "", CloseGrace).ConfigureAwait(false);
        }

        Drop();
    }

    public void Dispose()
    {
        _socket?.Dispose();
        _gone.Dispose();
    }

    private static PtyMessage? Parse(byte[] message)
    {
        try
        {
            return JsonSerializer.Deserialize(message, ExecdJson.Default.PtyMessage);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private async Task SendAsync(ReadOnlyMemory<byte> data, WebSocketMessageType type)
    {
        await _sending.WaitAsync(Gone).ConfigureAwait(false);
        try
        {
            // An answer to what was received just before the end comes too late.
            if (!_closed)
            {
                await _socket!.SendAsync(data, type, endOfMessage: true, Gone).ConfigureAwait(false);
            }
        }
        finally
        {
            _sending.Release();
        }
    }
}
