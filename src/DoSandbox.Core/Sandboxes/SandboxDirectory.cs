using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using DoSandbox.Backends;
using DoSandbox.Connections;
using DoSandbox.Errors;

namespace DoSandbox.Sandboxes;

/// <summary>Finds a sandbox by id or name over all backends, and keeps the connections that were opened. Thread-safe.</summary>
public sealed class SandboxDirectory : IAsyncDisposable
{
    /// <summary>Names the default backend.</summary>
    public const string BackendVariable = "DOSANDBOX_BACKEND";

    private readonly ConcurrentDictionary<string, Lazy<Task<ISandboxConnection>>> _connections = new(StringComparer.Ordinal);

    /// <summary>A directory over the given backends, the first usable one being the default.</summary>
    public SandboxDirectory(IReadOnlyList<ISandboxBackend> backends)
    {
        Backends = backends;
    }

    /// <summary>The directory of this process, over every backend there is.</summary>
    public static SandboxDirectory Shared { get; } = new(BackendList.Create());

    /// <summary>All backends, in the order in which they are tried.</summary>
    public IReadOnlyList<ISandboxBackend> Backends { get; }

    /// <summary>The backend of that name.</summary>
    /// <exception cref="SandboxException">InvalidArgument: there is none.</exception>
    public ISandboxBackend GetBackend(string name) =>
        Backends.FirstOrDefault(backend => string.Equals(backend.Name, name, StringComparison.OrdinalIgnoreCase))
        ?? throw new SandboxException(SandboxErrorCode.InvalidArgument, $"There is no backend '{name}'.",
            $"Use one of: {string.Join(", ", Backends.Select(backend => backend.Name))}.");

    /// <summary>Looks at each backend: usable here or not, and which is the default and why.</summary>
    public async Task<IReadOnlyList<BackendStatus>> ProbeAsync(CancellationToken cancellationToken)
    {
        var wanted = Environment.GetEnvironmentVariable(BackendVariable);
        var statuses = await Task.WhenAll(Backends.Select(backend => backend.ProbeAsync(thorough: true, cancellationToken))).ConfigureAwait(false);
        var chosen = string.IsNullOrEmpty(wanted)
            ? statuses.FirstOrDefault(status => status.Usable)
            : statuses.FirstOrDefault(status => string.Equals(status.Name, wanted, StringComparison.OrdinalIgnoreCase));
        return Array.ConvertAll(statuses, status => status with
        {
            IsDefault = ReferenceEquals(status, chosen),
            DefaultReason = ReferenceEquals(status, chosen)
                ? string.IsNullOrEmpty(wanted) ? "the first usable backend" : $"named by {BackendVariable}"
                : null,
        });
    }

    /// <summary>The backend that New-Sandbox takes without -Backend: that of DOSANDBOX_BACKEND, else the first usable one.</summary>
    /// <exception cref="SandboxException">BackendUnavailable: none is usable, with what each lacks.</exception>
    public async Task<ISandboxBackend> GetDefaultBackendAsync(CancellationToken cancellationToken)
    {
        if (Environment.GetEnvironmentVariable(BackendVariable) is { Length: > 0 } wanted)
        {
            return GetBackend(wanted);
        }

        var missing = new List<BackendStatus>();
        foreach (var backend in Backends)
        {
            var status = await backend.ProbeAsync(thorough: false, cancellationToken).ConfigureAwait(false);
            if (status.Usable)
            {
                return backend;
            }

            missing.Add(status);
        }

        throw new SandboxException(SandboxErrorCode.BackendUnavailable,
            $"No backend is usable here. {string.Join(" ", missing.Select(status => $"{status.Name}: {status.Reason}"))}",
            string.Join(" ", missing.Select(status => status.Advice).Where(advice => !string.IsNullOrEmpty(advice))) is { Length: > 0 } advice ? advice : null);
    }

    /// <summary>The sandbox with this id, else the one with this name.</summary>
    /// <exception cref="SandboxException">SandboxNotFound; AmbiguousSandbox when several backends know that name.</exception>
    public async Task<Sandbox> FindAsync(string idOrName, CancellationToken cancellationToken)
    {
        if (string.IsNullOrWhiteSpace(idOrName))
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, "The sandbox's id or name is empty.", "Give a sandbox object, an id or a name.");
        }

        foreach (var backend in Backends)
        {
            if (await backend.GetAsync(idOrName, cancellationToken).ConfigureAwait(false) is { } byId)
            {
                return byId;
            }
        }

        var named = new List<Sandbox>();
        await foreach (var sandbox in ListAsync(cancellationToken).ConfigureAwait(false))
        {
            if (string.Equals(sandbox.Name, idOrName, StringComparison.Ordinal))
            {
                named.Add(sandbox);
            }
        }

        // One that ended keeps its name only until another takes it.
        var living = named.Where(sandbox => sandbox.State is not (SandboxState.Ended or SandboxState.Failed)).ToList();
        var candidates = living.Count > 0 ? living : named.OrderByDescending(sandbox => sandbox.CreatedAt).Take(1).ToList();
        return candidates.Count switch
        {
            0 => throw new SandboxException(SandboxErrorCode.SandboxNotFound, $"There is no sandbox '{idOrName}'."),
            1 => candidates[0],
            _ => throw new SandboxException(SandboxErrorCode.AmbiguousSandbox,
                $"The name '{idOrName}' belongs to {candidates.Count} sandboxes: {string.Join(", ", candidates.Select(sandbox => $"{sandbox.Id} ({sandbox.Backend})"))}."),
        };
    }

    /// <summary>All sandboxes of all backends that are usable here.</summary>
    public async IAsyncEnumerable<Sandbox> ListAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        foreach (var backend in Backends)
        {
            await foreach (var sandbox in backend.ListAsync(cancellationToken).ConfigureAwait(false))
            {
                yield return sandbox;
            }
        }
    }

    /// <summary>The connection to a sandbox: the one that is open, else a new one. It stays the directory's: callers do not dispose it.</summary>
    /// <exception cref="SandboxException">SandboxNotFound, SandboxEnded, Network.</exception>
    public async Task<ISandboxConnection> ConnectAsync(Sandbox sandbox, CancellationToken cancellationToken)
    {
        // The attempt is shared by all who wait for it, so no single caller's token may end it; backends bound it themselves.
        var entry = _connections.GetOrAdd(sandbox.Id, _ => new Lazy<Task<ISandboxConnection>>(
            () => GetBackend(sandbox.Backend).ConnectAsync(sandbox, CancellationToken.None)));
        try
        {
            return await entry.Value.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (SandboxException)
        {
            _connections.TryRemove(new KeyValuePair<string, Lazy<Task<ISandboxConnection>>>(sandbox.Id, entry));
            throw;
        }
    }

    /// <summary>Ends and removes a sandbox, its open connection included.</summary>
    /// <exception cref="SandboxException">RemoveFailed.</exception>
    public async Task DeleteAsync(Sandbox sandbox, CancellationToken cancellationToken)
    {
        await DropConnectionAsync(sandbox.Id).ConfigureAwait(false);
        await GetBackend(sandbox.Backend).DeleteAsync(sandbox, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var id in _connections.Keys)
        {
            await DropConnectionAsync(id).ConfigureAwait(false);
        }
    }

    private async Task DropConnectionAsync(string id)
    {
        if (_connections.TryRemove(id, out var entry) && entry.IsValueCreated && entry.Value.IsCompletedSuccessfully)
        {
            await (await entry.Value.ConfigureAwait(false)).DisposeAsync().ConfigureAwait(false);
        }
    }
}
