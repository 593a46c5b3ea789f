using System.Management.Automation;
using DoSandbox.Errors;
using DoSandbox.PowerShell.Pipeline;
using DoSandbox.Sandboxes;

namespace DoSandbox.PowerShell.Commands;

/// <summary>Lists sandboxes.</summary>
[Cmdlet(VerbsCommon.Get, "Sandbox", DefaultParameterSetName = ByName)]
[OutputType(typeof(Sandbox))]
public sealed class GetSandboxCommand : AsyncSandboxCmdlet
{
    private const string ByName = "Name";
    private const string ById = "Id";

    [Parameter(ParameterSetName = ByName, Position = 0, ValueFromPipeline = true)]
    [SupportsWildcards]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(SandboxNameCompleter))]
    public string[]? Name { get; set; }

    [Parameter(ParameterSetName = ById, Mandatory = true, ValueFromPipelineByPropertyName = true)]
    [Alias("SandboxId")]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(SandboxNameCompleter))]
    public string[]? Id { get; set; }

    [Parameter]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(BackendCompleter))]
    public string? Backend { get; set; }

    /// <inheritdoc/>
    protected override void ProcessRecord() => Run(ParameterSetName == ById ? GetByIdAsync : GetByNameAsync);

    private IReadOnlyList<ISandboxBackend> Backends() => Backend is { } name ? [Directory.GetBackend(name)] : Directory.Backends;

    private async Task GetByIdAsync()
    {
        foreach (var id in Id!)
        {
            await ForOneAsync(id, async () =>
            {
                foreach (var backend in Backends())
                {
                    if (await backend.GetAsync(id, StopToken).ConfigureAwait(false) is { } sandbox)
                    {
                        await WriteAsync(sandbox).ConfigureAwait(false);
                        return;
                    }
                }

                throw new SandboxException(SandboxErrorCode.SandboxNotFound, $"There is no sandbox with the id '{id}'.");
            }).ConfigureAwait(false);
        }
    }

    private async Task GetByNameAsync()
    {
        var patterns = Array.ConvertAll(Array.ConvertAll(Name ?? ["*"], SandboxReference.NameIn), name => (Text: name, Pattern: WildcardPattern.Get(name, WildcardOptions.CultureInvariant)));
        var missing = patterns.Where(pattern => !WildcardPattern.ContainsWildcardCharacters(pattern.Text)).Select(pattern => pattern.Text).ToHashSet(StringComparer.Ordinal);
        foreach (var backend in Backends())
        {
            await foreach (var sandbox in backend.ListAsync(StopToken).ConfigureAwait(false))
            {
                // A literal name, as it was typed, and an id that was typed where a name was expected, are found too.
                if (Array.Exists(patterns, pattern => string.Equals(pattern.Text, sandbox.Id, StringComparison.Ordinal) || pattern.Pattern.IsMatch(sandbox.Name)))
                {
                    missing.RemoveWhere(name => string.Equals(name, sandbox.Id, StringComparison.Ordinal)
                        || WildcardPattern.Get(name, WildcardOptions.CultureInvariant).IsMatch(sandbox.Name));
                    await WriteAsync(sandbox).ConfigureAwait(false);
                }
            }
        }

        foreach (var name in missing)
        {
            await WriteErrorAsync(ErrorRecords.From(new SandboxException(SandboxErrorCode.SandboxNotFound, $"There is no sandbox '{name}'."), name)).ConfigureAwait(false);
        }
    }
}
