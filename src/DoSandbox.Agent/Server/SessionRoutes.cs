using DoSandbox.Wire.Execd;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary><c>/session</c>: shells that keep their state from one command to the next, in execd's events.</summary>
internal sealed class SessionRoutes(ShellSessions sessions)
{
    private const string Root = "/session";
    private const string RunSuffix = "/run";

    public Task HandleAsync(HttpContext context, string path)
    {
        if (path == Root)
        {
            return context.Request.Method == "POST" ? CreateAsync(context) : throw Dispatcher.NoRoute(context);
        }

        var id = path[(Root.Length + 1)..];
        return context.Request.Method switch
        {
            "POST" when id.EndsWith(RunSuffix, StringComparison.Ordinal) => RunAsync(context, id[..^RunSuffix.Length]),
            "DELETE" when !id.Contains('/') => (sessions.Remove(id) ?? throw ShellSessions.NotFound(id)).CloseAsync(),
            _ => throw Dispatcher.NoRoute(context),
        };
    }

    private async Task CreateAsync(HttpContext context)
    {
        var request = await Messages.ReadAsync(context, ExecdJson.Default.SessionStart, optional: true).ConfigureAwait(false);
        var session = sessions.Create(request?.Cwd);
        await Messages.WriteAsync(context, new SessionStarted { SessionId = session.Id }, ExecdJson.Default.SessionStarted).ConfigureAwait(false);
    }

    private async Task RunAsync(HttpContext context, string id)
    {
        var session = sessions.Find(id);
        var request = (await Messages.ReadAsync(context, ExecdJson.Default.SessionCommand).ConfigureAwait(false))!;
        var run = session.Begin(new CommandSpec
        {
            Command = request.Command ?? "",
            WorkingDirectory = request.Cwd,
            TimeLimit = CommandSpec.ReadTimeLimit(request.Timeout),
        });

        var sink = EventSink.Open(context);
        try
        {
            sink.WriteInit(session.Id);
            sink.WritePing();
            await sink.FlushAsync().ConfigureAwait(false);
        }
        finally
        {
            // Also when the client is gone already. The session is free before the client hears of the end, so that it can go on at once.
            var delivered = await run.Command.PumpToClientAsync(sink, context.RequestAborted).ConfigureAwait(false);
            await run.EndAsync(delivered).ConfigureAwait(false);
            if (delivered)
            {
                sink.WriteRest();
                CommandRoutes.WriteEnd(sink, run.Command);
                await sink.FlushAsync().ConfigureAwait(false);
            }
        }
    }
}
