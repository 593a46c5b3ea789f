using System.Runtime.CompilerServices;
using DoSandbox.Connections;
using DoSandbox.Sandboxes;

namespace DoSandbox.Backends.Local;

/// <summary>Sandboxes on this machine, by bubblewrap.</summary>
public sealed class LocalBackend : ISandboxBackend
{
    /// <inheritdoc/>
    public string Name => "Local";

    /// <inheritdoc/>
    public BackendCapabilities Capabilities => BackendCapabilities.Limits | BackendCapabilities.NoNetwork | BackendCapabilities.RootFileSystem;

    /// <inheritdoc/>
    public Task<BackendStatus> ProbeAsync(CancellationToken cancellationToken) => throw new NotSupportedException();

    /// <inheritdoc/>
    public Task<Sandbox> CreateAsync(SandboxSpec spec, IProgress<SandboxProgress>? progress, CancellationToken cancellationToken) => throw new NotSupportedException();

    /// <inheritdoc/>
    public Task<Sandbox?> GetAsync(string id, CancellationToken cancellationToken) => throw new NotSupportedException();

    /// <inheritdoc/>
    public async IAsyncEnumerable<Sandbox> ListAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await Task.CompletedTask.ConfigureAwait(false);
        yield break;
    }

    /// <inheritdoc/>
    public Task DeleteAsync(Sandbox sandbox, CancellationToken cancellationToken) => throw new NotSupportedException();

    /// <inheritdoc/>
    public Task<ISandboxConnection> ConnectAsync(Sandbox sandbox, CancellationToken cancellationToken) => throw new NotSupportedException();
}
