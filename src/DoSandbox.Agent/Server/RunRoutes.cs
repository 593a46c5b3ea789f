using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Text.Json;
using DoSandbox.Wire.Execd;
using DoSandbox.Wire.Run;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary><c>POST /dosandbox/run</c>: a command in one request, its exact bytes in frames.</summary>
internal sealed class RunRoutes(CommandRegistry registry, ShellSessions sessions)
{
    private const int LengthPrefix = 4;
    private const int MaxBody = LengthPrefix + AgentExtensions.MaxRequest + AgentExtensions.MaxStdin;

    public async Task RunAsync(HttpContext context)
    {
        var (request, input) = await ReadAsync(context).ConfigureAwait(false);
        var session = request.Session is { } id ? sessions.Find(id) : null;
        if (session is not null && request.Envs is { Count: > 0 })
        {
            throw RequestException.Invalid("A session has variables of its own; set them by a command in it.");
        }

        var spec = new CommandSpec
        {
            Command = request.Command,
            WorkingDirectory = request.Cwd,
            ExactDirectory = true,
            Variables = request.Envs,
            TimeLimit = CommandSpec.ReadTimeLimit(request.Timeout),
            Input = input,
        };
        var run = session?.Begin(spec);
        var command = run?.Command ?? registry.Start(spec);

        context.Response.ContentType = AgentExtensions.RunContentType;
        var sink = new FrameSink(context.Response.BodyWriter);
        try
        {
            sink.Write(RunFrameType.Started, JsonSerializer.SerializeToUtf8Bytes(
                new RunStarted { Id = command.Id, Pid = command.Pid }, ExecdJson.Default.RunStarted));
            await sink.FlushAsync().ConfigureAwait(false);
        }
        finally
        {
            // Also when the client is gone already: somebody has to take the output.
            var delivered = await command.PumpToClientAsync(sink, context.RequestAborted).ConfigureAwait(false);
            if (run is not null)
            {
                await run.EndAsync(delivered).ConfigureAwait(false);
            }

            if (delivered)
            {
                var status = command.Status!.Value;
                sink.Write(RunFrameType.Exited, JsonSerializer.SerializeToUtf8Bytes(
                    new RunExited
                    {
                        ExitCode = status.ExitCode,
                        Signal = status.Signal,
                        TimedOut = command.TimedOut,
                        DurationMs = (long)command.Duration.TotalMilliseconds,
                    },
                    ExecdJson.Default.RunExited));
                await sink.FlushAsync().ConfigureAwait(false);
            }
        }
    }

    private static async Task<(RunRequest Request, ReadOnlyMemory<byte> Input)> ReadAsync(HttpContext context)
    {
        if (context.Request.ContentLength > MaxBody)
        {
            throw new RequestException(413, ExecdErrorCodes.InvalidRequestBody, $"The request has more than {MaxBody} bytes.");
        }

        var body = new byte[(int)(context.Request.ContentLength ?? 64 * 1024)];
        var length = 0;
        while (true)
        {
            if (length == body.Length)
            {
                if (context.Request.ContentLength is not null)
                {
                    break;
                }

                Array.Resize(ref body, Math.Min(body.Length * 2, MaxBody + 1));
            }

            var count = await context.Request.Body.ReadAsync(body.AsMemory(length), context.RequestAborted).ConfigureAwait(false);
            if (count == 0)
            {
                break;
            }

            length += count;
            if (length > MaxBody)
            {
                throw new RequestException(413, ExecdErrorCodes.InvalidRequestBody, $"The request has more than {MaxBody} bytes.");
            }
        }

        if (length < LengthPrefix)
        {
            throw RequestException.Invalid("The request is shorter than its length prefix.");
        }

        var size = BinaryPrimitives.ReadInt32BigEndian(body);
        if (size < 0 || size > AgentExtensions.MaxRequest || size > length - LengthPrefix)
        {
            throw RequestException.Invalid($"The request announces {size} bytes of JSON and has {length - LengthPrefix}.");
        }

        var input = body.AsMemory(LengthPrefix + size, length - LengthPrefix - size);
        if (input.Length > AgentExtensions.MaxStdin)
        {
            throw new RequestException(413, ExecdErrorCodes.InvalidRequestBody, $"The standard input has more than {AgentExtensions.MaxStdin} bytes; send it by /pty.");
        }

        try
        {
            return (JsonSerializer.Deserialize(body.AsSpan(LengthPrefix, size), ExecdJson.Default.RunRequest)
                ?? throw RequestException.Invalid("The request is null."), input);
        }
        catch (JsonException e)
        {
            throw RequestException.Invalid($"The request is not the JSON that is expected here: {e.Message}");
        }
    }

    /// <summary>Reads from the pipes land in the response's own buffers, behind room for the frame's header: no copy.</summary>
    private sealed class FrameSink(PipeWriter writer) : OutputSink
    {
        private static readonly TimeSpan Silence = TimeSpan.FromSeconds(5);

        private Memory<byte> _frame;
        private RunFrameType _type;
        private long _lastWrite = Environment.TickCount64;

        public override TimeSpan? TickInterval => TimeSpan.FromSeconds(1);

        public override Memory<byte> Reserve(bool error, int size)
        {
            _type = error ? RunFrameType.Stderr : RunFrameType.Stdout;
            _frame = writer.GetMemory(RunFrame.HeaderSize + size);
            return _frame[RunFrame.HeaderSize..];
        }

        public override void Commit(int count)
        {
            RunFrame.WriteHeader(_frame.Span, _type, count);
            writer.Advance(RunFrame.HeaderSize + count);
        }

        public override async ValueTask<bool> FlushAsync()
        {
            var result = await writer.FlushAsync().ConfigureAwait(false);
            _lastWrite = Environment.TickCount64;
            return !result.IsCompleted && !result.IsCanceled;
        }

        public override bool Tick()
        {
            if (Environment.TickCount64 - _lastWrite < Silence.TotalMilliseconds)
            {
                return false;
            }

            Write(RunFrameType.Heartbeat, []);
            return true;
        }

        public void Write(RunFrameType type, ReadOnlySpan<byte> payload)
        {
            var frame = writer.GetSpan(RunFrame.HeaderSize + payload.Length);
            RunFrame.WriteHeader(frame, type, payload.Length);
            payload.CopyTo(frame[RunFrame.HeaderSize..]);
            writer.Advance(RunFrame.HeaderSize + payload.Length);
        }
    }
}
