using System.CommandLine;
using DoSandbox.Cli.Output;
using DoSandbox.Sandboxes;

namespace DoSandbox.Cli.Commands;

/// <summary><c>sandbox backends</c>.</summary>
internal static class BackendsCommand
{
    public static Command Build()
    {
        var json = CreateCommand.Json();
        var command = new Command("backends", "Says which backends are usable here, which is the default, and how to get what is missing") { json };
        command.SetAction((parsed, cancellationToken) => RunAsync(parsed.GetValue(json), cancellationToken));
        return command;
    }

    private static async Task<int> RunAsync(bool json, CancellationToken cancellationToken)
    {
        var statuses = await SandboxDirectory.Shared.ProbeAsync(cancellationToken).ConfigureAwait(false);
        if (json)
        {
            Stdio.WriteLine(CliJson.Text(statuses));
            return 0;
        }

        Tables.Write(["NAME", "USABLE", "DEFAULT", "WHY"], statuses.Select(status => new[]
        {
            status.Name, status.Usable ? "yes" : "no", status.IsDefault ? "yes" : "-", status.Reason,
        }));
        foreach (var status in statuses.Where(status => status.Advice is not null))
        {
            ErrorText.Note($"{status.Name}: {CliAdvice.Translate(status.Advice!)}");
        }

        return 0;
    }
}
