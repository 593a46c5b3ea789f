using System.CommandLine;
using DoSandbox.Cli.CommandLine;
using DoSandbox.Cli.Output;
using DoSandbox.Errors;
using DoSandbox.Sandboxes;

namespace DoSandbox.Cli.Commands;

/// <summary><c>sandbox delete</c>.</summary>
internal static class DeleteCommand
{
    public static Command Build()
    {
        var names = new Argument<string[]>("sandbox") { Description = "Names or ids", Arity = ArgumentArity.ZeroOrMore };
        var id = Targets.Id();
        var all = new Option<bool>("--all") { Description = "Every sandbox of every backend" };
        var force = new Option<bool>("--force", "-f") { Description = "Asks nothing" };
        var command = new Command("delete", "Ends sandboxes and removes all that is in them") { names, id, all, force };
        command.Aliases.Add("rm");
        command.Validators.Add(result =>
        {
            var given = result.GetValue(names) is { Length: > 0 };
            if (given == result.GetValue(all))
            {
                result.AddError(given ? "Name sandboxes or use --all, not both." : "Name at least one sandbox, or use --all.");
            }
        });
        command.SetAction((parsed, cancellationToken) => parsed.GetValue(all)
            ? DeleteAllAsync(parsed.GetValue(force), cancellationToken)
            : DeleteAsync(parsed.GetRequiredValue(names), parsed.GetValue(id), cancellationToken));
        return command;
    }

    private static async Task<int> DeleteAsync(string[] names, bool isId, CancellationToken cancellationToken)
    {
        var code = 0;
        foreach (var name in names.Distinct(StringComparer.Ordinal))
        {
            try
            {
                await DeleteAsync(await Targets.FindAsync(name, isId, cancellationToken).ConfigureAwait(false), cancellationToken).ConfigureAwait(false);
            }
            catch (SandboxException e)
            {
                // The others are still to go: one that stays may go on costing.
                code = ErrorText.Write(e);
            }
        }

        return code;
    }

    private static async Task<int> DeleteAllAsync(bool force, CancellationToken cancellationToken)
    {
        var sandboxes = new List<Sandbox>();
        await foreach (var sandbox in SandboxDirectory.Shared.ListAsync(cancellationToken).ConfigureAwait(false))
        {
            sandboxes.Add(sandbox);
        }

        if (sandboxes.Count == 0)
        {
            ErrorText.Note("There are no sandboxes.");
            return 0;
        }

        if (!force && !Confirm(sandboxes))
        {
            return 1;
        }

        var code = 0;
        foreach (var sandbox in sandboxes)
        {
            try
            {
                await DeleteAsync(sandbox, cancellationToken).ConfigureAwait(false);
            }
            catch (SandboxException e)
            {
                code = ErrorText.Write(e);
            }
        }

        return code;
    }

    private static async Task DeleteAsync(Sandbox sandbox, CancellationToken cancellationToken)
    {
        await SandboxDirectory.Shared.DeleteAsync(sandbox, cancellationToken).ConfigureAwait(false);
        Stdio.WriteLine(sandbox.Name);
    }

    private static bool Confirm(List<Sandbox> sandboxes)
    {
        if (Console.IsInputRedirected)
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, $"Deleting all {sandboxes.Count} sandboxes needs a yes, and nobody can be asked here.", "Use --all --force.");
        }

        Console.Error.Write($"Delete all {sandboxes.Count} sandboxes: {SafeText.Clean(string.Join(", ", sandboxes.Select(sandbox => sandbox.Name)), 400)}? [y/N] ");
        var answer = Console.ReadLine()?.Trim();
        if (string.Equals(answer, "y", StringComparison.OrdinalIgnoreCase) || string.Equals(answer, "yes", StringComparison.OrdinalIgnoreCase))
        {
            return true;
        }

        ErrorText.Note("Nothing was deleted.");
        return false;
    }
}
