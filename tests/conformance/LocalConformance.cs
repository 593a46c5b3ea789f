using DoSandbox.Backends.Local;
using DoSandbox.Connections;
using DoSandbox.Sandboxes;

namespace DoSandbox.ConformanceTests;

/// <summary>A real local sandbox, with every wall and limit around it.</summary>
public sealed class LocalConformance(LocalSandboxFixture local) : ConnectionConformance, IClassFixture<LocalSandboxFixture>
{
    protected override Task<ISandboxConnection> ConnectAsync() => local.Backend.ConnectAsync(local.Sandbox, CancellationToken.None);
}

/// <summary>One local sandbox for all tests of a class, in a state folder of its own.</summary>
public sealed class LocalSandboxFixture : IAsyncLifetime
{
    private readonly string _home = $"/tmp/dosandbox-conformance-{Environment.ProcessId}";

    public LocalBackend Backend { get; } = new();

    public Sandbox Sandbox { get; private set; } = null!;

    public async Task InitializeAsync()
    {
        Environment.SetEnvironmentVariable("DOSANDBOX_HOME", _home);
        Sandbox = await Backend.CreateAsync(new SandboxSpec(), null, CancellationToken.None);
    }

    public async Task DisposeAsync()
    {
        await Backend.DeleteAsync(Sandbox, CancellationToken.None);
        Directory.Delete(_home, recursive: true);
    }
}
