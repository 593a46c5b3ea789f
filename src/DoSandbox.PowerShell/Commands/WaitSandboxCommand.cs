using System.Diagnostics;
using System.Management.Automation;
using DoSandbox.Errors;
using DoSandbox.PowerShell.Pipeline;
using DoSandbox.Sandboxes;

namespace DoSandbox.PowerShell.Commands;

/// <summary>Waits until sandboxes are in a state.</summary>
[Cmdlet(VerbsLifecycle.Wait, "Sandbox")]
[OutputType(typeof(Sandbox))]
public sealed class WaitSandboxCommand : AsyncSandboxCmdlet
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);

    // A field of the enum's own type would make the import of the module load the whole core.
    private int _state = (int)SandboxState.Running;

    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true, ValueFromPipelineByPropertyName = true)]
    [Alias("Id", "SandboxId", "Name")]
    [SandboxTransformation]
    [ArgumentCompleter(typeof(SandboxNameCompleter))]
    public SandboxReference[] Sandbox { get; set; } = [];

    [Parameter]
    public SandboxState State { get => (SandboxState)_state; set => _state = (int)value; }

    /// <summary>Seconds for each sandbox.</summary>
    [Parameter]
    [ValidateRange(0.001, 2_073_600.0)]
    public double TimeoutSec { get; set; } = 600;

    /// <inheritdoc/>
    protected override void ProcessRecord() => Run(async () =>
    {
        foreach (var reference in Sandbox)
        {
            await ForOneAsync(reference.Target, async () =>
            {
                var progress = new ProgressReporter(this);
                await using (progress.ConfigureAwait(false))
                {
                    await WriteAsync(await WaitAsync(reference, progress).ConfigureAwait(false)).ConfigureAwait(false);
                }
            }).ConfigureAwait(false);
        }
    });

    private async Task<Sandbox> WaitAsync(SandboxReference reference, ProgressReporter progress)
    {
        var clock = Stopwatch.StartNew();
        var sandbox = await reference.ResolveAsync(Directory, StopToken).ConfigureAwait(false);
        var backend = Directory.GetBackend(sandbox.Backend);
        while (true)
        {
            sandbox = await backend.GetAsync(sandbox.Id, StopToken).ConfigureAwait(false)
                ?? throw new SandboxException(SandboxErrorCode.SandboxNotFound, $"The sandbox '{sandbox.Name}' was removed.") { SandboxId = sandbox.Id };
            if (sandbox.State == State)
            {
                return sandbox;
            }

            if (sandbox.State is SandboxState.Ended or SandboxState.Failed)
            {
                throw new SandboxException(SandboxErrorCode.SandboxEnded,
                    $"The sandbox '{sandbox.Name}' is {sandbox.State} and will not be {State}. {sandbox.StateReason}".TrimEnd()) { SandboxId = sandbox.Id };
            }

            if (clock.Elapsed.TotalSeconds >= TimeoutSec)
            {
                throw new SandboxException(SandboxErrorCode.ReadyTimeout, $"The sandbox '{sandbox.Name}' is still {sandbox.State} after {TimeoutSec} s, not {State}.") { SandboxId = sandbox.Id };
            }

            progress.Report(new SandboxProgress($"Waiting for {sandbox.Name} to be {State}", $"{sandbox.State} for {Display.Span(clock.Elapsed)}"));
            await Task.Delay(Interval, StopToken).ConfigureAwait(false);
        }
    }
}
