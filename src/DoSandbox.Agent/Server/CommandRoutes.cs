using System.Globalization;
using DoSandbox.Agent.Native;
using DoSandbox.Wire.Execd;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary><c>/command</c>: foreground and background commands, their status, logs and interruption.</summary>
internal sealed class CommandRoutes(CommandRegistry registry, ShellSessions sessions)
{
    private const string Root = "/command";
    private const string StatusRoot = "/command/status/";
    private const string LogsSuffix = "/logs";
    private const int LogChunk = 64 * 1024;

    public Task HandleAsync(HttpContext context, string path) => (context.Request.Method, path) switch
    {
        ("POST", Root) => StartAsync(context),
        ("DELETE", Root) => InterruptAsync(context),
        ("GET", _) when path.StartsWith(StatusRoot, StringComparison.Ordinal) => StatusAsync(context, path[StatusRoot.Length..]),
        ("GET", _) when path.EndsWith(LogsSuffix, StringComparison.Ordinal) && path.Length > Root.Length + 1 + LogsSuffix.Length =>
            LogsAsync(context, path[(Root.Length + 1)..^LogsSuffix.Length]),
        _ => throw Dispatcher.NoRoute(context),
    };

    private async Task StartAsync(HttpContext context)
    {
        var request = (await Messages.ReadAsync(context, ExecdJson.Default.CommandStart).ConfigureAwait(false))!;
        if (request is { Gid: not null, Uid: null })
        {
            throw RequestException.Invalid("A gid needs a uid.");
        }

        if ((request.Uid is { } uid && uid != Libc.GetUid()) || (request.Gid is { } gid && gid != Libc.GetGid()))
        {
            throw RequestException.Invalid(
                $"Commands run as uid {Libc.GetUid()} and gid {Libc.GetGid()} here; the agent is not root and cannot change to another user.");
        }

        var command = registry.Start(new CommandSpec
        {
            Command = request.Command ?? "",
            WorkingDirectory = request.Cwd,
            Variables = request.Envs,
            TimeLimit = CommandSpec.ReadTimeLimit(request.Timeout),
            MergeStreams = request.Background,
        });

        var sink = EventSink.Open(context);
        if (request.Background)
        {
            command.OpenLog();
            command.KeepInLog();
            sink.WriteInit(command.Id);
            sink.WriteComplete(0);
            await sink.FlushAsync().ConfigureAwait(false);
            return;
        }

        try
        {
            sink.WriteInit(command.Id);
            sink.WritePing();
            await sink.FlushAsync().ConfigureAwait(false);
        }
        finally
        {
            // Also when the client is gone already: somebody has to take the output.
            if (await command.PumpToClientAsync(sink, context.RequestAborted).ConfigureAwait(false))
            {
                sink.WriteRest();
                WriteEnd(sink, command);
                await sink.FlushAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>The last event of a command that is over.</summary>
    public static void WriteEnd(EventSink sink, RunningCommand command)
    {
        var status = command.Status!.Value;
        if (status.Raw == 0 && !command.TimedOut)
        {
            sink.WriteComplete((long)command.Duration.TotalMilliseconds);
            return;
        }

        // As Go tells it: the exit code of what a signal ended is -1.
        var code = command.TimedOut || status.Signal is not null ? -1 : status.ExitCode;
        sink.WriteError(code.ToString(CultureInfo.InvariantCulture), Describe(command, status));
    }

    private static string Describe(RunningCommand command, ExitStatus status) => command.TimedOut
        ? "signal: killed"
        : status.Signal is { } signal
            ? $"signal: {SignalNames.Describe(signal)}"
            : string.Create(CultureInfo.InvariantCulture, $"exit status {status.ExitCode}");

    private async Task InterruptAsync(HttpContext context)
    {
        var id = Messages.RequiredQuery(context, "id");
        if (sessions.Remove(id) is { } session)
        {
            // As execd does: the id of a session stands for its shell.
            await session.CloseAsync().ConfigureAwait(false);
            return;
        }

        var command = registry.Find(id) ?? throw RequestException.Failed($"There is no command {id}.");
        if (!await command.InterruptAsync().ConfigureAwait(false))
        {
            throw RequestException.Failed($"The command {id} does not run any more.");
        }
    }

    private Task StatusAsync(HttpContext context, string id)
    {
        var command = registry.Find(id)
            ?? throw new RequestException(404, ExecdErrorCodes.InvalidRequestBody, $"There is no command {id}.");
        var status = command.IsOver ? command.Status : null;
        return Messages.WriteAsync(
            context,
            new CommandStatus
            {
                Id = command.Id,
                Content = command.Content,
                Running = status is null,
                ExitCode = status?.ExitCode,
                Error = status is { Raw: not 0 } ? Describe(command, status.Value) : null,
                StartedAt = command.StartedAt,
                FinishedAt = command.FinishedAt,
            },
            ExecdJson.Default.CommandStatus);
    }

    private async Task LogsAsync(HttpContext context, string id)
    {
        var command = registry.Find(id) ?? throw RequestException.Invalid($"There is no command {id}.");
        var log = command.Log
            ?? throw RequestException.Invalid($"The command {id} keeps no log: its output goes to the client that started it.");
        var end = log.End;
        var cursor = Math.Clamp(Messages.NumberQuery(context, "cursor") ?? 0, 0, end);
        var dropped = Math.Max(0, log.Start - cursor);
        var position = cursor + dropped;
        context.Response.ContentType = "text/plain; charset=utf-8";
        context.Response.Headers[ExecdHeaders.LogCursor] = end.ToString(CultureInfo.InvariantCulture);
        context.Response.Headers[ExecdHeaders.LogDropped] = dropped.ToString(CultureInfo.InvariantCulture);
        context.Response.ContentLength = end - position;
        while (position < end)
        {
            var chunk = (int)Math.Min(LogChunk, end - position);
            var count = log.Read(position, context.Response.BodyWriter.GetSpan(chunk)[..chunk]);
            if (count <= 0)
            {
                // Overwritten by newer output while a slow client read: only a broken answer tells it.
                context.Abort();
                return;
            }

            context.Response.BodyWriter.Advance(count);
            position += count;
            await context.Response.BodyWriter.FlushAsync(context.RequestAborted).ConfigureAwait(false);
        }
    }
}
