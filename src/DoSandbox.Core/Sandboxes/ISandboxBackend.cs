using DoSandbox.Connections;
using DoSandbox.Errors;

namespace DoSandbox.Sandboxes;

/// <summary>What a backend can do beyond create, get, list, delete and connect.</summary>
[Flags]
public enum BackendCapabilities
{
    None = 0,

    /// <summary>Memory, CPU, processes and disk can be limited.</summary>
    Limits = 1,

    /// <summary>A sandbox can be cut off from the network.</summary>
    NetworkIsolation = 2,

    /// <summary>Another root file system can be given.</summary>
    RootFileSystem = 4,
}

/// <summary>Whether a backend is usable here.</summary>
public sealed record BackendStatus
{
    public required string Name { get; init; }
    public required bool Usable { get; init; }

    /// <summary>A sentence: what was found, or what is missing.</summary>
    public required string Reason { get; init; }

    /// <summary>How to get what is missing; null when nothing is.</summary>
    public string? Advice { get; init; }

    public BackendCapabilities Capabilities { get; init; }

    /// <summary>True for the backend that New-Sandbox takes without -Backend.</summary>
    public bool IsDefault { get; init; }

    /// <summary>Why it is or is not the default.</summary>
    public string? DefaultReason { get; init; }
}

/// <summary>A platform that makes and removes sandboxes.</summary>
public interface ISandboxBackend
{
    /// <summary>Its name, as for -Backend.</summary>
    string Name { get; }

    /// <summary>What it can do, whether or not it is usable here.</summary>
    BackendCapabilities Capabilities { get; }

    /// <summary>Looks whether it is usable here. Does not throw for what is missing: it tells.</summary>
    /// <param name="thorough">True to try what it needs, false to see only whether it is there.</param>
    /// <param name="cancellationToken">Ends the look.</param>
    Task<BackendStatus> ProbeAsync(bool thorough, CancellationToken cancellationToken);

    /// <summary>Makes a sandbox and waits until it answers. Everything is checked before anything is created; a failure leaves nothing.</summary>
    /// <exception cref="SandboxException">Any code.</exception>
    Task<Sandbox> CreateAsync(SandboxSpec spec, IProgress<SandboxProgress>? progress, CancellationToken cancellationToken);

    /// <summary>The sandbox with this id, or null.</summary>
    Task<Sandbox?> GetAsync(string id, CancellationToken cancellationToken);

    /// <summary>All sandboxes, in order of creation.</summary>
    IAsyncEnumerable<Sandbox> ListAsync(CancellationToken cancellationToken);

    /// <summary>Ends and removes it; returns when nothing of it is left. Nothing happens when it is gone already.</summary>
    /// <exception cref="SandboxException">RemoveFailed, with what is left.</exception>
    Task DeleteAsync(Sandbox sandbox, CancellationToken cancellationToken);

    /// <summary>Opens a way into it.</summary>
    /// <exception cref="SandboxException">SandboxNotFound, SandboxEnded, Network.</exception>
    Task<ISandboxConnection> ConnectAsync(Sandbox sandbox, CancellationToken cancellationToken);
}
