using System.Management.Automation;
using DoSandbox.PowerShell.Pipeline;

namespace DoSandbox.PowerShell.Commands;

/// <summary>Ends and removes sandboxes.</summary>
[Cmdlet(VerbsCommon.Remove, "Sandbox", SupportsShouldProcess = true, ConfirmImpact = ConfirmImpact.High)]
[OutputType(typeof(void))]
public sealed class RemoveSandboxCommand : AsyncSandboxCmdlet
{
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true, ValueFromPipelineByPropertyName = true)]
    [Alias("Id", "SandboxId", "Name")]
    [SandboxTransformation(AcceptFiles = false)]
    [ArgumentCompleter(typeof(SandboxNameCompleter))]
    public SandboxReference[] Sandbox { get; set; } = [];

    [Parameter]
    public SwitchParameter Force { get; set; }

    /// <inheritdoc/>
    protected override void ProcessRecord()
    {
        var approved = Array.FindAll(Sandbox, sandbox => ShouldProcessOrForce(Display.OneLine(sandbox.Name), "Remove sandbox and everything in it", Force));
        if (approved.Length == 0)
        {
            return;
        }

        Run(async () =>
        {
            foreach (var reference in approved)
            {
                await ForOneAsync(reference.Target, async () =>
                {
                    var sandbox = await reference.ResolveAsync(Directory, StopToken).ConfigureAwait(false);
                    await Directory.DeleteAsync(sandbox, StopToken).ConfigureAwait(false);
                    await WriteVerboseAsync($"Removed {sandbox.Name} ({sandbox.Id}).").ConfigureAwait(false);
                }).ConfigureAwait(false);
            }
        });
    }
}
