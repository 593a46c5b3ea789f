using System.Collections.Concurrent;
using DoSandbox.Agent.Native;
using DoSandbox.Wire.Execd;
using DoSandbox.Wire.Run;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary><c>/pty</c>: commands in terminals, or with pipes, that a client attaches to over a websocket.</summary>
internal sealed class PtyRoutes(CommandRegistry registry)
{
    /// <summary>Sessions at the same time, those not yet started included.</summary>
    public const int MaxSessions = 256;

    private const string Root = "/pty";
    private const string SocketSuffix = "/ws";

    private readonly ConcurrentDictionary<string, PtySessionHost> _sessions = new(StringComparer.Ordinal);

    public Task HandleAsync(HttpContext context, string path)
    {
        if (path == Root)
        {
            return context.Request.Method == "POST" ? CreateAsync(context) : throw Dispatcher.NoRoute(context);
        }

        var id = path[(Root.Length + 1)..];
        return context.Request.Method switch
        {
            "GET" when id.EndsWith(SocketSuffix, StringComparison.Ordinal) =>
                Find(id[..^SocketSuffix.Length]).AttachAsync(context, PtyAttachment.Read(context)),
            "GET" when !id.Contains('/') => Messages.WriteAsync(context, Find(id).Describe(), ExecdJson.Default.PtySession),
            "DELETE" when !id.Contains('/') => DeleteAsync(id),
            _ => throw Dispatcher.NoRoute(context),
        };
    }

    private async Task CreateAsync(HttpContext context)
    {
        var request = await Messages.ReadAsync(context, ExecdJson.Default.PtyStart, optional: true).ConfigureAwait(false) ?? new PtyStart();
        var spec = new CommandSpec
        {
            Id = RandomId.Next(),
            Command = string.IsNullOrEmpty(request.Command) ? null : request.Command,
            WorkingDirectory = request.Cwd,
            ExactDirectory = context.Request.Headers.ContainsKey(AgentExtensions.ExactPathsHeader),
            Variables = request.Envs,
            TimeLimit = CommandSpec.ReadTimeLimit(request.Timeout),
            OpenInput = true,
            LogCapacity = PtySessionHost.ReplaySize,
        };
        registry.CheckDirectory(spec);
        ForgetEnded();
        if (_sessions.Count >= MaxSessions)
        {
            throw RequestException.Failed($"There are {MaxSessions} sessions already; delete one first.");
        }

        _sessions[spec.Id] = new PtySessionHost(registry, spec);
        await Messages.WriteAsync(context, new PtySession { SessionId = spec.Id }, ExecdJson.Default.PtySession, 201).ConfigureAwait(false);
    }

    private async Task DeleteAsync(string id)
    {
        var session = Find(id);
        _sessions.TryRemove(id, out _);
        await session.EndAsync().ConfigureAwait(false);
    }

    private PtySessionHost Find(string id) => _sessions.GetValueOrDefault(id)
        ?? throw new RequestException(404, ExecdErrorCodes.ContextNotFound, $"There is no session {id}.");

    /// <summary>Sessions whose command has ended make room when there are many; a client rarely deletes them.</summary>
    private void ForgetEnded()
    {
        if (_sessions.Count < MaxSessions)
        {
            return;
        }

        foreach (var (id, session) in _sessions)
        {
            if (session.HasEnded)
            {
                _sessions.TryRemove(id, out _);
            }
        }
    }
}
