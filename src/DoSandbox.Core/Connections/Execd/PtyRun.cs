using System.Buffers;
using System.Net.WebSockets;
using System.Text.Json;
using DoSandbox.Commands;
using DoSandbox.Errors;
using DoSandbox.Wire.Execd;

namespace DoSandbox.Connections.Execd;

/// <summary>A command over a websocket, for input that is large or comes bit by bit: input goes out while output comes in.</summary>
internal sealed class PtyRun : ExecdRun
{
    private const int MaxText = 64 * 1024;
    private const int InputSize = 128 * 1024;

    private static readonly TimeSpan EndBound = TimeSpan.FromSeconds(1);

    private readonly Stream _stdin;
    private readonly ClientWebSocket _socket = new();
    private readonly CancellationTokenSource _inputEnd = new();
    private readonly byte[] _buffer = ArrayPool<byte>.Shared.Rent(256 * 1024);
    private Task _input = Task.CompletedTask;
    private Exception? _inputFault;
    private byte _type;
    private bool _inMessage;

    public PtyRun(ExecdHttp http, CommandRequest request, Stream stdin)
        : base(http, request)
    {
        _stdin = stdin;
        foreach (var (name, value) in http.Headers)
        {
            _socket.Options.SetRequestHeader(name, value);
        }
    }

    protected override async Task<CommandStarted> StartAsync(CancellationToken cancellationToken)
    {
        using var request = Http.Request(HttpMethod.Post, "/pty", ExecdHttp.Json(new PtyStart
        {
            Command = Request.Command,
            Cwd = Request.WorkingDirectory,
            Envs = Request.Environment.Count > 0 ? new Dictionary<string, string>(Request.Environment) : null,
            Timeout = Request.Timeout is { } timeout ? Math.Max(1, (long)timeout.TotalMilliseconds) : null,
        }, ExecdJson.Default.PtyStart));
        request.Headers.TryAddWithoutValidation(Wire.Run.AgentExtensions.ExactPathsHeader, "1");
        string id;
        using (var response = await SendAsync(request, cancellationToken).ConfigureAwait(false))
        {
            var body = await ExecdHttp.ReadBodyAsync(response, MaxText, cancellationToken).ConfigureAwait(false);
            id = JsonSerializer.Deserialize(body, ExecdJson.Default.PtySession)?.SessionId is { Length: > 0 } named
                ? named
                : throw new InvalidDataException("The session has no id.");
        }

        CommandId = id;
        var uri = Http.UriOf($"/pty/{Uri.EscapeDataString(id)}/ws?pty=0", Http.WebSocketScheme);
        await _socket.ConnectAsync(uri, Http.Invoker, cancellationToken).ConfigureAwait(false);
        while (true)
        {
            var piece = await ReceiveAsync(cancellationToken).ConfigureAwait(false);
            if (piece.Text is { Type: "connected" })
            {
                break;
            }

            if (piece.Text is { Type: "error" } refused)
            {
                throw Http.ErrorFor(200, refused.Code, refused.Error ?? "", "start the command", SandboxErrorCode.CommandNotStarted);
            }

            if (piece.Text is null)
            {
                throw new InvalidDataException("Output came before the session was connected.");
            }
        }

        _input = SendInputAsync(_inputEnd.Token);
        return new CommandStarted(id, null);
    }

    protected override async ValueTask<CommandEvent> ReadAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            (byte Type, ReadOnlyMemory<byte> Data, PtyMessage? Text) piece;
            try
            {
                piece = await ReceiveAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (Exception) when (_inputFault is not null)
            {
                throw new SandboxException(SandboxErrorCode.OutcomeUnknown, $"The command was ended, as its standard input could not be read: {SafeText.Clean(_inputFault.Message)}",
                    "Look at what gives the input.", _inputFault) { SandboxId = Http.SandboxId };
            }

            switch (piece)
            {
                case { Text: { Type: "exit", ExitCode: >= 0 and <= 255 } exit }:
                    return new CommandExited(exit.ExitCode.Value, PtySignal.Parse(exit.Signal), exit.TimedOut ?? false, Elapsed);
                case { Text: { Type: "exit" } exit }:
                    throw new InvalidDataException($"The exit code {exit.ExitCode} is out of bounds.");
                case { Text: { Type: "error" } error }:
                    throw new SandboxException(SandboxErrorCode.OutcomeUnknown,
                        $"The command's outcome is unknown: {SafeText.Clean(error.Error ?? error.Code ?? "")}") { SandboxId = Http.SandboxId };
                case { Text: not null } or { Data.Length: 0 }:
                    Heard();
                    break;
                case { Type: PtyFrames.Stdout }:
                    return new CommandOutputReceived(OutputStream.Stdout, piece.Data);
                case { Type: PtyFrames.Stderr }:
                    return new CommandOutputReceived(OutputStream.Stderr, piece.Data);
                default:
                    throw new InvalidDataException($"A frame of type 0x{piece.Type:x2} came in the middle.");
            }
        }
    }

    protected override Task KillAsync(CancellationToken cancellationToken) => DeleteSessionAsync(cancellationToken);

    protected override async Task ProbeAsync(CancellationToken cancellationToken)
    {
        using var request = Http.Request(HttpMethod.Get, "/pty/" + Uri.EscapeDataString(CommandId ?? ""));
        using var response = await Http.SendRawAsync(request, cancellationToken).ConfigureAwait(false);
        if (!response.IsSuccessStatusCode)
        {
            throw new IOException($"The session's status is {(int)response.StatusCode}.");
        }
    }

    protected override async ValueTask ReleaseAsync(bool ended)
    {
        using var bound = new CancellationTokenSource(EndBound);
        await _inputEnd.CancelAsync().ConfigureAwait(false);
        if (ended)
        {
            try
            {
                await DeleteSessionAsync(bound.Token).ConfigureAwait(false);
            }
            catch (Exception fault) when (fault is IOException or HttpRequestException or OperationCanceledException)
            {
                // The agent forgets a session that ended by itself.
            }
        }

        _socket.Dispose();
        // A reader of the input that heeds no cancellation (a console, a pipe) is left behind; it sends nothing any more.
        await Task.WhenAny(_input, Task.Delay(TimeSpan.FromMilliseconds(200), bound.Token)).ConfigureAwait(false);
        ArrayPool<byte>.Shared.Return(_buffer);
        if (_input.IsCompleted)
        {
            _inputEnd.Dispose();
        }
    }

    private async Task DeleteSessionAsync(CancellationToken cancellationToken)
    {
        if (CommandId is { } id)
        {
            using var request = Http.Request(HttpMethod.Delete, "/pty/" + Uri.EscapeDataString(id));
            using var response = await Http.SendRawAsync(request, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task SendInputAsync(CancellationToken cancellationToken)
    {
        var buffer = new byte[1 + InputSize];
        buffer[0] = PtyFrames.Stdin;
        while (true)
        {
            int read;
            try
            {
                read = await _stdin.ReadAsync(buffer.AsMemory(1), cancellationToken).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                return;
            }
            catch (Exception fault)
            {
                _inputFault = fault;
                _socket.Abort();
                return;
            }

            try
            {
                if (read == 0)
                {
                    await _socket.SendAsync(new[] { PtyFrames.EndOfInput }, WebSocketMessageType.Binary, endOfMessage: true, cancellationToken).ConfigureAwait(false);
                    return;
                }

                await _socket.SendAsync(buffer.AsMemory(0, 1 + read), WebSocketMessageType.Binary, endOfMessage: true, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception fault) when (fault is WebSocketException or OperationCanceledException or ObjectDisposedException or InvalidOperationException or IOException)
            {
                // The command has ended, or the connection is lost: what is read tells which.
                return;
            }
        }
    }

    private async ValueTask<(byte Type, ReadOnlyMemory<byte> Data, PtyMessage? Text)> ReceiveAsync(CancellationToken cancellationToken)
    {
        var received = await _socket.ReceiveAsync(_buffer.AsMemory(), cancellationToken).ConfigureAwait(false);
        if (received.MessageType == WebSocketMessageType.Close)
        {
            throw new EndOfStreamException($"The session was closed ({_socket.CloseStatus}: {SafeText.Clean(_socket.CloseStatusDescription, 200)}).");
        }

        if (received.MessageType == WebSocketMessageType.Text)
        {
            var length = received.Count;
            while (!received.EndOfMessage)
            {
                if (length >= MaxText)
                {
                    throw new InvalidDataException("A message is out of bounds.");
                }

                received = await _socket.ReceiveAsync(_buffer.AsMemory(length), cancellationToken).ConfigureAwait(false);
                length += received.Count;
            }

            return (0, default, JsonSerializer.Deserialize(_buffer.AsSpan(0, length), ExecdJson.Default.PtyMessage) ?? new PtyMessage());
        }

        var data = _buffer.AsMemory(0, received.Count);
        if (!_inMessage && data.Length > 0)
        {
            _type = data.Span[0];
            data = data[1..];
        }

        _inMessage = !received.EndOfMessage;
        return (_type, data, null);
    }
}
