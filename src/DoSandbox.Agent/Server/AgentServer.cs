namespace DoSandbox.Agent.Server;

internal static class AgentServer
{
    public static Task<int> RunAsync(string[] arguments) => Task.FromResult(arguments.Length > 0 ? 1 : 2);
}
