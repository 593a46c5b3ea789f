using System.Buffers.Binary;
using System.Net.Http.Headers;
using System.Text.Json;
using DoSandbox.Commands;
using DoSandbox.Errors;
using DoSandbox.Wire.Execd;
using DoSandbox.Wire.Run;

namespace DoSandbox.Connections.Execd;

/// <summary>A command in one request, answered by frames: our agent's own way.</summary>
internal sealed class FramedRun : ExecdRun
{
    private static readonly TimeSpan EndBound = TimeSpan.FromSeconds(1);

    private const int MaxStatus = 16 * 1024 * 1024;

    private readonly string _command;
    private readonly ReadOnlyMemory<byte> _stdin;
    private HttpResponseMessage? _response;
    private RunFrameReader? _reader;

    /// <summary>A run with its whole input.</summary>
    /// <param name="http">The way to the agent.</param>
    /// <param name="request">The command.</param>
    /// <param name="command">What to run in its place, where the input comes from a staged file.</param>
    /// <param name="stdin">At most <see cref="AgentExtensions.MaxStdin"/> bytes.</param>
    public FramedRun(ExecdHttp http, CommandRequest request, string command, ReadOnlyMemory<byte> stdin)
        : base(http, request)
    {
        _command = command;
        _stdin = stdin;
    }

    protected override async Task<CommandStarted> StartAsync(CancellationToken cancellationToken)
    {
        using var request = Http.Request(HttpMethod.Post, AgentExtensions.RunRoute, CreateBody());
        _response = await SendAsync(request, cancellationToken).ConfigureAwait(false);
        _reader = new RunFrameReader(await _response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false));
        var piece = await NextPieceAsync(cancellationToken).ConfigureAwait(false);
        if (piece.Type == RunFrameType.Failed)
        {
            var (code, message) = ExecdHttp.ParseError(piece.Data.Span);
            throw Http.ErrorFor(200, code, message, "start the command", SandboxErrorCode.CommandNotStarted);
        }

        if (piece.Type != RunFrameType.Started || JsonSerializer.Deserialize(piece.Data.Span, ExecdJson.Default.RunStarted) is not { Id.Length: > 0 } started)
        {
            throw new InvalidDataException($"The first frame is {piece.Type}.");
        }

        CommandId = started.Id;
        return new CommandStarted(started.Id, started.Pid > 0 ? started.Pid : null);
    }

    protected override async ValueTask<CommandEvent> ReadAsync(CancellationToken cancellationToken)
    {
        var piece = await NextPieceAsync(cancellationToken).ConfigureAwait(false);
        switch (piece.Type)
        {
            case RunFrameType.Stdout:
                return new CommandOutputReceived(OutputStream.Stdout, piece.Data);
            case RunFrameType.Stderr:
                return new CommandOutputReceived(OutputStream.Stderr, piece.Data);
            case RunFrameType.Exited:
                var exited = JsonSerializer.Deserialize(piece.Data.Span, ExecdJson.Default.RunExited)
                    ?? throw new InvalidDataException("The exit is empty.");
                return exited.ExitCode is >= 0 and <= 255
                    ? new CommandExited(exited.ExitCode, exited.Signal, exited.TimedOut, TimeSpan.FromMilliseconds(Math.Max(0, exited.DurationMs)))
                    : throw new InvalidDataException($"The exit code {exited.ExitCode} is out of bounds.");
            case RunFrameType.Failed:
                var (_, message) = ExecdHttp.ParseError(piece.Data.Span);
                throw new SandboxException(SandboxErrorCode.OutcomeUnknown, $"The command's outcome is unknown: {SafeText.Clean(message)}") { SandboxId = Http.SandboxId };
            default:
                throw new InvalidDataException($"A frame of type {piece.Type} came in the middle.");
        }
    }

    protected override async Task KillAsync(CancellationToken cancellationToken)
    {
        if (CommandId is { } id)
        {
            using var request = Http.Request(HttpMethod.Delete, "/command?id=" + Uri.EscapeDataString(id));
            using var response = await Http.SendRawAsync(request, cancellationToken).ConfigureAwait(false);
        }
    }

    protected override Task ProbeAsync(CancellationToken cancellationToken) => ProbeCommandAsync(Http, CommandId, cancellationToken);

    protected override async ValueTask ReleaseAsync(bool ended)
    {
        if (_reader is not null)
        {
            if (ended)
            {
                using var bound = new CancellationTokenSource(EndBound);
                try
                {
                    await _reader.IsAtEndAsync(bound.Token).ConfigureAwait(false);
                }
                catch (Exception fault) when (fault is IOException or HttpRequestException or OperationCanceledException)
                {
                    // The connection is not used again; the command's end is known.
                }
            }

            _reader.Dispose();
        }

        _response?.Dispose();
    }

    internal static async Task ProbeCommandAsync(ExecdHttp http, string? id, CancellationToken cancellationToken)
    {
        using var request = http.Request(HttpMethod.Get, "/command/status/" + Uri.EscapeDataString(id ?? ""));
        using var response = await http.SendRawAsync(request, cancellationToken).ConfigureAwait(false);
        if (!response.IsSuccessStatusCode)
        {
            throw new IOException($"The command's status is {(int)response.StatusCode}.");
        }

        var status = JsonSerializer.Deserialize(await ExecdHttp.ReadBodyAsync(response, MaxStatus, cancellationToken).ConfigureAwait(false), ExecdJson.Default.CommandStatus);
        if (status is not { Running: true })
        {
            throw new IOException("The command has ended, and its end did not arrive.");
        }
    }

    private async ValueTask<RunPiece> NextPieceAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var piece = await _reader!.ReadAsync(cancellationToken).ConfigureAwait(false);
            if (piece.Type != RunFrameType.Heartbeat && (piece.Data.Length > 0 || piece.Type is not (RunFrameType.Stdout or RunFrameType.Stderr)))
            {
                return piece;
            }

            Heard();
        }
    }

    private ByteArrayContent CreateBody()
    {
        var head = JsonSerializer.SerializeToUtf8Bytes(new RunRequest
        {
            Command = _command,
            Cwd = Request.WorkingDirectory,
            Envs = Request.Environment.Count > 0 ? new Dictionary<string, string>(Request.Environment) : null,
            Timeout = Request.Timeout is { } timeout ? Math.Max(1, (long)timeout.TotalMilliseconds) : null,
        }, ExecdJson.Default.RunRequest);
        if (head.Length > AgentExtensions.MaxRequest)
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, $"The command and its environment are {head.Length} bytes; at most {AgentExtensions.MaxRequest} can be sent.",
                "Send large data as standard input or as a file.");
        }

        var body = new byte[4 + head.Length + _stdin.Length];
        BinaryPrimitives.WriteInt32BigEndian(body, head.Length);
        head.CopyTo(body.AsSpan(4));
        _stdin.Span.CopyTo(body.AsSpan(4 + head.Length));
        var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue(AgentExtensions.RunContentType);
        return content;
    }
}
