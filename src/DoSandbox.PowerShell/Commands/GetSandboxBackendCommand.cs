using System.Management.Automation;
using DoSandbox.PowerShell.Pipeline;
using DoSandbox.Sandboxes;

namespace DoSandbox.PowerShell.Commands;

/// <summary>Tells which backends are usable here, which is the default and why, and what is missing.</summary>
[Cmdlet(VerbsCommon.Get, "SandboxBackend")]
[OutputType(typeof(BackendStatus))]
public sealed class GetSandboxBackendCommand : AsyncSandboxCmdlet
{
    [Parameter(Position = 0)]
    [SupportsWildcards]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(BackendCompleter))]
    public string[]? Name { get; set; }

    /// <inheritdoc/>
    protected override void ProcessRecord() => Run(async () =>
    {
        var statuses = await Directory.ProbeAsync(StopToken).ConfigureAwait(false);
        foreach (var name in Name ?? ["*"])
        {
            var pattern = WildcardPattern.Get(name, WildcardOptions.IgnoreCase | WildcardOptions.CultureInvariant);
            var found = statuses.Where(status => pattern.IsMatch(status.Name)).ToList();
            if (found.Count == 0 && !WildcardPattern.ContainsWildcardCharacters(name))
            {
                await ForOneAsync(name, () => Task.FromResult(Directory.GetBackend(name))).ConfigureAwait(false);
            }

            foreach (var status in found)
            {
                await WriteAsync(status).ConfigureAwait(false);
            }
        }
    });
}
