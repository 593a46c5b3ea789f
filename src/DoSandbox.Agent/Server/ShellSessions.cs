using System.Collections.Concurrent;
using DoSandbox.Agent.Files;
using DoSandbox.Agent.Native;
using DoSandbox.Wire.Execd;

namespace DoSandbox.Agent.Server;

/// <summary>The shell sessions of this agent.</summary>
internal sealed class ShellSessions(CommandRegistry registry)
{
    /// <summary>Sessions at the same time; each holds one file on the sandbox's disk.</summary>
    public const int MaxSessions = 256;

    private readonly ConcurrentDictionary<string, ShellSession> _sessions = new(StringComparer.Ordinal);

    /// <summary>Makes a session.</summary>
    /// <param name="directory">Where it begins, as the client wrote it; the agent's own when null.</param>
    /// <exception cref="RequestException">400: no such directory; 500: too many sessions; 501: no bash.</exception>
    public ShellSession Create(string? directory)
    {
        if (!FileSystem.IsExecutable("/bin/bash"))
        {
            throw new RequestException(501, ExecdErrorCodes.NotSupported, "A session needs bash, and this sandbox has none at /bin/bash.");
        }

        registry.CheckDirectory(new CommandSpec { Command = null, WorkingDirectory = directory });
        if (_sessions.Count >= MaxSessions)
        {
            throw RequestException.Failed($"There are {MaxSessions} sessions already; delete one first.");
        }

        var session = new ShellSession(Guid.ParseExact(RandomId.Next(), "N").ToString("D"), directory, registry);
        _sessions[session.Id] = session;
        return session;
    }

    /// <exception cref="RequestException">404: there is no such session.</exception>
    public ShellSession Find(string id) => _sessions.GetValueOrDefault(id) ?? throw NotFound(id);

    /// <summary>Takes a session out; null when there is none.</summary>
    public ShellSession? Remove(string id) => _sessions.TryRemove(id, out var session) ? session : null;

    public static RequestException NotFound(string id) => new(404, ExecdErrorCodes.ContextNotFound, $"There is no session {id}.");
}
