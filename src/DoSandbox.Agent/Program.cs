namespace DoSandbox.Agent;

/// <summary>The entry of the binary: <c>serve</c> inside a sandbox, <c>supervise</c> outside.</summary>
internal static class Program
{
    private static async Task<int> Main(string[] args)
    {
        switch (args)
        {
            case ["serve", .. var rest]:
                return await Server.AgentServer.RunAsync(rest).ConfigureAwait(false);
            case ["supervise"]:
                return Supervision.Supervisor.Run();
            case ["remove-tree", var path]:
                return Supervision.TreeRemoval.Run(path);
            default:
                await Console.Error.WriteLineAsync("usage: dosandbox-agent serve --fd N [--ready-fd N] [--max-processes N] | serve --socket PATH | supervise < request.json | remove-tree PATH").ConfigureAwait(false);
                return 2;
        }
    }
}
