using System.Collections;
using System.Management.Automation;
using System.Management.Automation.Language;
using DoSandbox.Sandboxes;

namespace DoSandbox.PowerShell;

/// <summary>Completes names of sandboxes.</summary>
public sealed class SandboxNameCompleter : IArgumentCompleter
{
    private static readonly CompletionCache<Sandbox> Sandboxes = new(async cancellationToken =>
    {
        var found = new List<Sandbox>();
        await foreach (var sandbox in SandboxDirectory.Shared.ListAsync(cancellationToken).ConfigureAwait(false))
        {
            found.Add(sandbox);
        }

        return found;
    });

    /// <inheritdoc/>
    public IEnumerable<CompletionResult> CompleteArgument(string commandName, string parameterName, string wordToComplete, CommandAst commandAst,
        IDictionary fakeBoundParameters)
    {
        var byId = string.Equals(parameterName, "Id", StringComparison.OrdinalIgnoreCase);
        return Completion.Match(wordToComplete, Sandboxes.Get()
            .Select(sandbox => (byId ? sandbox.Id : sandbox.Name, $"{sandbox.Name} ({sandbox.Backend}, {sandbox.Image}, {sandbox.State})"))
            .Distinct());
    }
}

/// <summary>Completes names of backends.</summary>
public sealed class BackendCompleter : IArgumentCompleter
{
    private static readonly CompletionCache<BackendStatus> Backends = new(SandboxDirectory.Shared.ProbeAsync);

    /// <inheritdoc/>
    public IEnumerable<CompletionResult> CompleteArgument(string commandName, string parameterName, string wordToComplete, CommandAst commandAst,
        IDictionary fakeBoundParameters)
    {
        // Their names are known without a look-up; only the tool tips may have to wait.
        var statuses = Backends.Get();
        return Completion.Match(wordToComplete, SandboxDirectory.Shared.Backends.Select(backend =>
            (backend.Name, statuses.FirstOrDefault(status => string.Equals(status.Name, backend.Name, StringComparison.Ordinal))?.Reason ?? backend.Name)));
    }
}

/// <summary>Completes images.</summary>
public sealed class ImageCompleter : IArgumentCompleter
{
    private static readonly (string, string)[] Images =
    [
        ("python", "Python 3 (default)"),
        ("node", "Node.js"),
    ];

    /// <inheritdoc/>
    public IEnumerable<CompletionResult> CompleteArgument(string commandName, string parameterName, string wordToComplete, CommandAst commandAst,
        IDictionary fakeBoundParameters) => Completion.Match(wordToComplete, Images);
}
