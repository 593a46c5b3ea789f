using DoSandbox.Commands;
using DoSandbox.Connections;

namespace DoSandbox.ConformanceTests;

/// <summary>A sandbox in which no tar is to be found.</summary>
internal sealed class WithoutTar(ISandboxConnection connection) : ISandboxConnection
{
    public ISandboxFileSystem Files => connection.Files;

    public ValueTask<bool> HasExactOutputAsync(CancellationToken cancellationToken) => connection.HasExactOutputAsync(cancellationToken);

    public Task PingAsync(CancellationToken cancellationToken) => connection.PingAsync(cancellationToken);

    public IAsyncEnumerable<CommandEvent> RunAsync(CommandRequest request, CancellationToken cancellationToken) => connection.RunAsync(
        new CommandRequest(request.Command.Replace("command -v tar", "command -v no-such-tar", StringComparison.Ordinal)) { Stdin = request.Stdin, Timeout = request.Timeout }, cancellationToken);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
