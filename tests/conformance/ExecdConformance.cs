using DoSandbox.Connections;
using DoSandbox.Connections.Execd;

namespace DoSandbox.ConformanceTests;

/// <summary>Our agent over its unix socket.</summary>
public sealed class ExecdSocketConformance(AgentFixture agent) : ConnectionConformance, IClassFixture<AgentFixture>
{
    protected override Task<ISandboxConnection> ConnectAsync() => Task.FromResult<ISandboxConnection>(ExecdConnection.ForUnixSocket(agent.Socket, "conformance"));
}

/// <summary>Our agent over HTTP.</summary>
public sealed class ExecdHttpConformance(AgentFixture agent) : ConnectionConformance, IClassFixture<AgentFixture>
{
    protected override Task<ISandboxConnection> ConnectAsync() => Task.FromResult<ISandboxConnection>(ExecdConnection.ForUri(agent.Relay(hideExtensions: false), null, "conformance"));
}

/// <summary>An execd that announces nothing: what any OpenSandbox is.</summary>
public sealed class StockExecdConformance(AgentFixture agent) : ConnectionConformance, IClassFixture<AgentFixture>
{
    protected override bool OutputIsExact => false;

    protected override bool AnyFileName => false;

    protected override Task<ISandboxConnection> ConnectAsync() => Task.FromResult<ISandboxConnection>(ExecdConnection.ForUri(agent.Relay(hideExtensions: true), null, "conformance"));
}
