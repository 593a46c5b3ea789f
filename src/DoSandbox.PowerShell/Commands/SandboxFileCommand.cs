using System.Management.Automation;
using DoSandbox.Connections;
using DoSandbox.Errors;
using DoSandbox.Files;
using DoSandbox.PowerShell.Pipeline;
using DoSandbox.Sandboxes;

namespace DoSandbox.PowerShell.Commands;

/// <summary>
/// What sending and fetching have in common. As with Invoke-SandboxCommand there is one parameter set; positional arguments are sandbox, path,
/// destination, without that one which comes from the pipeline.
/// </summary>
public abstract class SandboxFileCommand : AsyncSandboxCmdlet
{
    private bool _usesPipeline;

    [Parameter(Position = 0)]
    [SandboxTransformation]
    [ArgumentCompleter(typeof(SandboxNameCompleter))]
    public SandboxReference[]? Sandbox { get; set; }

    [Parameter(Position = 1)]
    [SupportsWildcards]
    [ValidateNotNullOrEmpty]
    public string[]? Path { get; set; }

    [Parameter(Position = 2)]
    [ValidateNotNullOrEmpty]
    public string? Destination { get; set; }

    /// <summary>Paths in which nothing is a wildcard.</summary>
    [Parameter]
    [Alias("LP")]
    [ValidateNotNullOrEmpty]
    public string[]? LiteralPath { get; set; }

    /// <summary>Sandboxes or files, whichever is not given by the other parameters.</summary>
    [Parameter(ValueFromPipeline = true)]
    public PSObject? InputObject { get; set; }

    [Parameter]
    public SwitchParameter Force { get; set; }

    [Parameter]
    public SwitchParameter PassThru { get; set; }

    /// <summary>How to write a call, for advice.</summary>
    private protected abstract string Example { get; }

    /// <summary>Where to, when nothing is said; null when something must be.</summary>
    private protected abstract string? DefaultDestination { get; }

    /// <inheritdoc/>
    protected override void BeginProcessing() =>
        _usesPipeline = MyInvocation.ExpectingInput || MyInvocation.BoundParameters.ContainsKey(nameof(InputObject));

    /// <inheritdoc/>
    protected override void ProcessRecord()
    {
        try
        {
            var job = _usesPipeline ? FromPipeline(InputObject) : new TransferJob(Sandbox ?? [], Path ?? [], LiteralPath ?? [], Destination);
            if (job.Sandboxes.Count == 0 || job.Paths.Count + job.LiteralPaths.Count == 0 || (job.Destination ??= DefaultDestination) is null)
            {
                throw new SandboxException(SandboxErrorCode.InvalidArgument,
                    $"There is no {(job.Sandboxes.Count == 0 ? "sandbox" : job.Destination is null && job.Paths.Count + job.LiteralPaths.Count > 0 ? "destination" : "path")} given.", Example);
            }

            Transfer(job);
        }
        catch (SandboxException exception)
        {
            ThrowTerminatingError(ErrorRecords.From(exception));
        }
    }

    /// <summary>Does the job. Pipeline thread.</summary>
    private protected abstract void Transfer(TransferJob job);

    /// <summary>What an object of the pipeline names when it is no sandbox: a path, a file; null when it can be neither.</summary>
    private protected abstract TransferJob? FromFile(PSObject item);

    /// <summary>Runs one transfer with its progress; what fails is an error about the sandbox, and the next has its turn.</summary>
    private protected Task TransferOneAsync(SandboxReference reference, Func<Sandbox, ISandboxConnection, TransferOptions, Task> transfer) =>
        ForOneAsync(reference.Target, async () =>
        {
            var sandbox = await reference.ResolveAsync(Directory, StopToken).ConfigureAwait(false);
            var connection = await Directory.ConnectAsync(sandbox, StopToken).ConfigureAwait(false);
            var progress = new ProgressReporter(this);
            var warnings = new List<string>();
            await using (progress.ConfigureAwait(false))
            {
                var options = new TransferOptions
                {
                    Force = Force,
                    Progress = new TransferProgressAdapter(progress, $"{MyInvocation.MyCommand.Name} {sandbox.Name}"),
                    Warning = text =>
                    {
                        lock (warnings)
                        {
                            warnings.Add(text);
                        }
                    },
                };
                try
                {
                    await transfer(sandbox, connection, options).ConfigureAwait(false);
                }
                finally
                {
                    foreach (var text in warnings)
                    {
                        await WriteWarningAsync(Display.OneLine(text)).ConfigureAwait(false);
                    }
                }
            }
        });

    private TransferJob FromPipeline(PSObject? item)
    {
        if (item is not null && SandboxTransformationAttribute.FromSandboxObject(item) is { } sandbox)
        {
            return (Sandbox, Path, Destination) switch
            {
                (null, _, _) => new TransferJob([sandbox], Path ?? [], LiteralPath ?? [], Destination),
                ([{ IsObject: false } first], null, _) when LiteralPath is null => new TransferJob([sandbox], [first.ToString()], [], Destination),
                ([{ IsObject: false } first], null, null) => new TransferJob([sandbox], [], LiteralPath ?? [], first.ToString()),
                ([{ IsObject: false } first], [var second], null) when LiteralPath is null => new TransferJob([sandbox], [first.ToString()], [], second),
                _ => throw new SandboxException(SandboxErrorCode.InvalidArgument, "Sandboxes come from the pipeline, and -Sandbox names others.",
                    "Give the sandboxes one way: from the pipeline or with -Sandbox."),
            };
        }

        if (item is null || FromFile(item) is not { } file)
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument,
                $"A {item?.BaseObject.GetType().Name ?? "null"} came from the pipeline, which is neither a sandbox nor a file.", Example);
        }

        if (LiteralPath is not null || (Path is not null && (Path.Length > 1 || Destination is not null)))
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, "Files come from the pipeline, and -Path or -LiteralPath names others.",
                "Give the files one way: from the pipeline or by their paths.");
        }

        // A file that knows its sandbox needs none: what stands in the sandbox's place is then the destination.
        if (file.Sandboxes.Count > 0 && Path is null && Destination is null && Sandbox is [{ IsObject: false } place])
        {
            return file with { Destination = place.ToString() };
        }

        return file with { Sandboxes = Sandbox ?? file.Sandboxes, Destination = Destination ?? Path?[0] };
    }

    private sealed class TransferProgressAdapter(IProgress<SandboxProgress> inner, string activity) : IProgress<TransferProgress>
    {
        public void Report(TransferProgress value) => inner.Report(new SandboxProgress(activity,
            value.BytesTotal is { } total ? $"{value.FileName}: {Display.Bytes(value.BytesDone)} of {Display.Bytes(total)}" : $"{value.FileName}: {Display.Bytes(value.BytesDone)}",
            value.BytesTotal is > 0 and var all ? (int)(value.BytesDone * 100 / all) : null));
    }
}

/// <summary>What is transferred, and where to.</summary>
internal sealed record TransferJob(IReadOnlyList<SandboxReference> Sandboxes, IReadOnlyList<string> Paths, IReadOnlyList<string> LiteralPaths, string? Destination)
{
    public string? Destination { get; set; } = Destination;
}
