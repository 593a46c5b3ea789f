using System.Globalization;
using System.Text;
using DoSandbox.Commands;
using DoSandbox.Errors;
using DoSandbox.Wire.Execd;

namespace DoSandbox.Connections.Execd;

/// <summary>A command over execd's own event stream. Its output comes as lines of text, so bytes that are no UTF-8 and a missing last line end are lost.</summary>
internal sealed class EventStreamRun : ExecdRun
{
    private readonly string _command;
    private HttpResponseMessage? _response;
    private EventStreamReader? _reader;
    private byte[] _line = [];

    /// <summary>A run.</summary>
    /// <param name="http">The way to the agent.</param>
    /// <param name="request">The command.</param>
    /// <param name="command">What to run in its place: with the environment and the staged input in front.</param>
    public EventStreamRun(ExecdHttp http, CommandRequest request, string command)
        : base(http, request)
    {
        _command = command;
    }

    protected override async Task<CommandStarted> StartAsync(CancellationToken cancellationToken)
    {
        using var request = Http.Request(HttpMethod.Post, "/command", ExecdHttp.Json(new CommandStart
        {
            Command = _command,
            Cwd = Request.WorkingDirectory,
            Timeout = Request.Timeout is { } timeout ? Math.Max(1, (long)timeout.TotalMilliseconds) : null,
        }, ExecdJson.Default.CommandStart));
        _response = await SendAsync(request, cancellationToken).ConfigureAwait(false);
        _reader = new EventStreamReader(await _response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false));
        while (true)
        {
            switch (await _reader.ReadAsync(cancellationToken).ConfigureAwait(false))
            {
                case null:
                    throw new EndOfStreamException();
                case { Type: StreamEventTypes.Init, Text: { Length: > 0 } id }:
                    CommandId = id;
                    return new CommandStarted(id, null);
                case { Type: null } refused:
                    throw Http.ErrorFor(200, refused.Code, refused.Message ?? "", "start the command", SandboxErrorCode.CommandNotStarted);
                case { Type: StreamEventTypes.Ping }:
                    continue;
                case var other:
                    throw new InvalidDataException($"The first event is '{other.Type}'.");
            }
        }
    }

    protected override async ValueTask<CommandEvent> ReadAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var next = await _reader!.ReadAsync(cancellationToken).ConfigureAwait(false) ?? throw new EndOfStreamException();
            switch (next.Type)
            {
                case StreamEventTypes.Stdout:
                    return Output(OutputStream.Stdout, next.Text ?? "");
                case StreamEventTypes.Stderr:
                    return Output(OutputStream.Stderr, next.Text ?? "");
                case StreamEventTypes.Complete:
                    return new CommandExited(0, null, false, next.ExecutionTime is >= 0 and var spent ? TimeSpan.FromMilliseconds(spent) : Elapsed);
                case StreamEventTypes.Error:
                    return Exit(next.Error ?? new StreamError());
                case null:
                    throw new SandboxException(SandboxErrorCode.OutcomeUnknown,
                        $"The command's outcome is unknown: {SafeText.Clean(next.Message ?? next.Code ?? "the sandbox sent an error without words")}") { SandboxId = Http.SandboxId };
                default:
                    Heard();
                    break;
            }
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

    protected override Task ProbeAsync(CancellationToken cancellationToken) => FramedRun.ProbeCommandAsync(Http, CommandId, cancellationToken);

    protected override ValueTask ReleaseAsync(bool ended)
    {
        // execd holds the stream open for a second after the last event: not worth the wait.
        _response?.Dispose();
        return ValueTask.CompletedTask;
    }

    private CommandOutputReceived Output(OutputStream stream, string text)
    {
        // A blank line is the text "\n", any other line comes without its end.
        var needed = Encoding.UTF8.GetMaxByteCount(text.Length) + 1;
        if (_line.Length < needed)
        {
            _line = new byte[Math.Max(needed, 4096)];
        }

        var length = Encoding.UTF8.GetBytes(text, _line);
        if (!string.Equals(text, "\n", StringComparison.Ordinal))
        {
            _line[length++] = (byte)'\n';
        }

        return new CommandOutputReceived(stream, _line.AsMemory(0, length));
    }

    private CommandExited Exit(StreamError error)
    {
        if (!int.TryParse(error.Evalue, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var code))
        {
            throw new SandboxException(SandboxErrorCode.CommandNotStarted, $"Could not start the command: {SafeText.Clean(error.Evalue)}") { SandboxId = Http.SandboxId };
        }

        if (code is >= 0 and <= 255)
        {
            return new CommandExited(code, null, false, Elapsed);
        }

        var signal = code == -1 ? SignalOf(error.Traceback) : null;
        return Request.Timeout is { } timeout && code == -1 && signal is null or 9 && Elapsed >= timeout
            ? new CommandExited(128 + 9, 9, true, Elapsed)
            : signal is { } number
                ? new CommandExited(128 + number, number, false, Elapsed)
                : throw new SandboxException(SandboxErrorCode.OutcomeUnknown,
                    $"The command's outcome is unknown: the sandbox reports the exit code {code} ({SafeText.Clean(string.Join(' ', error.Traceback))}).") { SandboxId = Http.SandboxId };
    }

    // The words of Go's syscall.Signal, in which execd reports a death by signal.
    private static int? SignalOf(string[] traceback)
    {
        foreach (var line in traceback)
        {
            var words = line.StartsWith("signal: ", StringComparison.Ordinal) ? line["signal: ".Length..] : "";
            if (words.StartsWith("signal ", StringComparison.Ordinal) && int.TryParse(words["signal ".Length..], CultureInfo.InvariantCulture, out var number))
            {
                return number;
            }

            switch (words.Replace(" (core dumped)", "", StringComparison.Ordinal))
            {
                case "hangup": return 1;
                case "interrupt": return 2;
                case "quit": return 3;
                case "illegal instruction": return 4;
                case "trace/breakpoint trap": return 5;
                case "aborted": return 6;
                case "bus error": return 7;
                case "floating point exception": return 8;
                case "killed": return 9;
                case "user defined signal 1": return 10;
                case "segmentation fault": return 11;
                case "user defined signal 2": return 12;
                case "broken pipe": return 13;
                case "alarm clock": return 14;
                case "terminated": return 15;
            }
        }

        return null;
    }
}
