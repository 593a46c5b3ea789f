using System.Collections;
using System.Management.Automation;
using DoSandbox.PowerShell.Pipeline;
using DoSandbox.Sandboxes;

namespace DoSandbox.PowerShell.Commands;

/// <summary>Makes a sandbox and waits until it answers.</summary>
[Cmdlet(VerbsCommon.New, "Sandbox", SupportsShouldProcess = true)]
[OutputType(typeof(Sandbox))]
public sealed class NewSandboxCommand : AsyncSandboxCmdlet
{
    // A field of the enum's own type would make the import of the module load the whole core.
    private int _network;

    [Parameter(Position = 0)]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(ImageCompleter))]
    public string? Image { get; set; }

    [Parameter]
    [ValidateNotNullOrEmpty]
    public string? Name { get; set; }

    [Parameter]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(BackendCompleter))]
    public string? Backend { get; set; }

    [Parameter]
    public IDictionary? Environment { get; set; }

    [Parameter]
    public IDictionary? Metadata { get; set; }

    /// <summary>After this long the sandbox ends by itself.</summary>
    [Parameter]
    [DurationTransformation]
    public TimeSpan TimeToLive { get; set; }

    /// <summary>MiB.</summary>
    [Parameter]
    [ValidateRange(0, long.MaxValue / 1024 / 1024)]
    public long MemoryMB { get; set; }

    [Parameter]
    [ValidateRange(0.0, 4096.0)]
    public double CpuCount { get; set; }

    [Parameter]
    [ValidateRange(0, int.MaxValue)]
    public int MaxProcesses { get; set; }

    /// <summary>MiB.</summary>
    [Parameter]
    [ValidateRange(0, long.MaxValue / 1024 / 1024)]
    public long DiskMB { get; set; }

    [Parameter]
    public SandboxNetwork Network { get => (SandboxNetwork)_network; set => _network = (int)value; }

    /// <summary>A directory or a tar archive of this machine.</summary>
    [Parameter]
    [ValidateNotNullOrEmpty]
    public string? RootFileSystem { get; set; }

    /// <summary>Seconds.</summary>
    [Parameter]
    [ValidateRange(0.001, 2_073_600.0)]
    public double TimeoutSec { get; set; }

    /// <inheritdoc/>
    protected override void ProcessRecord()
    {
        var spec = MakeSpec();
        var what = spec.Image ?? spec.RootFileSystem ?? "the default image";
        if (!ShouldProcess(Display.OneLine(spec.Name is { } name ? $"{name} ({what})" : what), "Create sandbox"))
        {
            return;
        }

        if (spec.Network == SandboxNetwork.Host)
        {
            WriteWarning("This sandbox shares the host's network: code in it reaches everything that this machine reaches, local services included.");
        }

        Run(async () =>
        {
            var backend = Backend is { } wanted ? Directory.GetBackend(wanted) : await Directory.GetDefaultBackendAsync(StopToken).ConfigureAwait(false);
            var progress = new ProgressReporter(this);
            await using (progress.ConfigureAwait(false))
            {
                var sandbox = await backend.CreateAsync(spec, progress, StopToken).ConfigureAwait(false);
                await HandOverAsync(sandbox).ConfigureAwait(false);
            }
        });
    }

    /// <summary>Writes the sandbox. One that was made while the pipeline stopped is removed again: nobody holds it.</summary>
    private async Task HandOverAsync(Sandbox sandbox)
    {
        var handedOver = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        try
        {
            await InvokeAsync(() =>
            {
                if (!Stopping)
                {
                    handedOver.TrySetResult();
                    WriteObject(sandbox);
                }
            }).ConfigureAwait(false);
            await handedOver.Task.WaitAsync(StopToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!handedOver.Task.IsCompleted)
        {
            await Directory.DeleteAsync(sandbox, CancellationToken.None).ConfigureAwait(false);
            throw;
        }
    }

    private SandboxSpec MakeSpec()
    {
        try
        {
            var spec = new SandboxSpec
            {
                Image = Image,
                Name = Name,
                Environment = Dictionaries.ToStrings(Environment, nameof(Environment)),
                Metadata = Dictionaries.ToStrings(Metadata, nameof(Metadata)),
                TimeToLive = Given(nameof(TimeToLive)) ? TimeToLive : null,
                Network = Network,
                RootFileSystem = RootFileSystem is { } root ? this.ResolveHostPath(root) : null,
                Limits = new SandboxLimits
                {
                    MemoryMB = Given(nameof(MemoryMB)) ? MemoryMB : null,
                    CpuCount = Given(nameof(CpuCount)) ? CpuCount : null,
                    MaxProcesses = Given(nameof(MaxProcesses)) ? MaxProcesses : null,
                    DiskMB = Given(nameof(DiskMB)) ? DiskMB : null,
                },
            };
            if (spec.TimeToLive <= TimeSpan.Zero)
            {
                ThrowTerminatingError(ErrorRecords.InvalidArgument("-TimeToLive is not more than zero.", "Use seconds, or text such as 30m or 2h."));
            }

            return Given(nameof(TimeoutSec)) ? spec with { ReadyTimeout = TimeSpan.FromSeconds(TimeoutSec) } : spec;
        }
        catch (Errors.SandboxException exception)
        {
            ThrowTerminatingError(ErrorRecords.From(exception));
            throw;
        }

        bool Given(string parameter) => MyInvocation.BoundParameters.ContainsKey(parameter);
    }
}
