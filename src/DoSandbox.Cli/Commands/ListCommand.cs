using System.CommandLine;
using System.Globalization;
using DoSandbox.Cli.Output;
using DoSandbox.Sandboxes;

namespace DoSandbox.Cli.Commands;

/// <summary><c>sandbox list</c>.</summary>
internal static class ListCommand
{
    public static Command Build()
    {
        var json = CreateCommand.Json();
        var command = new Command("list", "Lists the sandboxes of all backends") { json };
        command.Aliases.Add("ls");
        command.SetAction((parsed, cancellationToken) => RunAsync(parsed.GetValue(json), cancellationToken));
        return command;
    }

    private static async Task<int> RunAsync(bool json, CancellationToken cancellationToken)
    {
        var sandboxes = new List<Sandbox>();
        await foreach (var sandbox in SandboxDirectory.Shared.ListAsync(cancellationToken).ConfigureAwait(false))
        {
            sandboxes.Add(sandbox);
        }

        if (json)
        {
            Stdio.WriteLine(CliJson.Text(sandboxes));
        }
        else if (sandboxes.Count == 0)
        {
            ErrorText.Note("There are no sandboxes. Make one with: sandbox create");
        }
        else
        {
            Tables.Write(["NAME", "ID", "BACKEND", "STATE", "IMAGE", "AGE", "ENDS IN"], sandboxes.Select(sandbox => new[]
            {
                sandbox.Name, sandbox.Id, sandbox.Backend, sandbox.State.ToString(), sandbox.Image, Span(sandbox.Age),
                sandbox.ExpiresAt is { } end ? Span(end - DateTimeOffset.UtcNow) : "-",
            }));
        }

        return 0;
    }

    internal static string Span(TimeSpan span) => span switch
    {
        { Ticks: <= 0 } => "0s",
        { TotalMinutes: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{(int)span.TotalSeconds}s"),
        { TotalHours: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{(int)span.TotalMinutes}m{span.Seconds:00}s"),
        { TotalDays: < 1 } => string.Create(CultureInfo.InvariantCulture, $"{(int)span.TotalHours}h{span.Minutes:00}m"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{(int)span.TotalDays}d{span.Hours:00}h"),
    };
}
