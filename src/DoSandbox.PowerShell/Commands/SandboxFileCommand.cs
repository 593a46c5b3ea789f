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
    private readonly Dictionary<string, string> _written = new(StringComparer.Ordinal);
    private bool _usesPipeline;

    [Parameter(Position = 0)]
    [SandboxTransformation(AcceptHostFiles = true)]
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
            var job = _usesPipeline ? FromPipeline(InputObject) : new TransferJob(Sandbox ?? [], Sources(), Destination);
            if (job.Sandboxes.Count == 0 || job.Sources.Count == 0 || (job.Destination ??= DefaultDestination) is null)
            {
                throw new SandboxException(SandboxErrorCode.InvalidArgument,
                    $"There is no {(job.Sandboxes.Count == 0 ? "sandbox" : job.Sources.Count == 0 ? "path" : "destination")} given.", Example);
            }

            if (job.Sandboxes.FirstOrDefault(sandbox => sandbox.HostFile is not null) is { HostFile: var file })
            {
                throw new SandboxException(SandboxErrorCode.InvalidArgument, $"'{Display.OneLine(file)}' is a file of this machine, not a sandbox.", Example);
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

    /// <summary>
    /// Refuses a target that this call has written already, as files of one name or under one new name would overwrite each other, -Force or not.
    /// A file that the same call wrote is never taken for the directory of the next one either.
    /// </summary>
    /// <param name="side">Where the target is: a sandbox's id, or empty for this machine.</param>
    /// <param name="target">The destination without a / at its end.</param>
    /// <param name="namesDirectory">True when the destination says that it is a directory.</param>
    /// <param name="inside">The target where the destination is a directory.</param>
    /// <param name="source">What would be written.</param>
    private protected void RefuseOverwrite(string side, string target, bool namesDirectory, string inside, string source)
    {
        if ((!namesDirectory && _written.TryGetValue(Key(side, target), out var earlier)) || _written.TryGetValue(Key(side, inside), out earlier))
        {
            throw new SandboxException(SandboxErrorCode.FileExists,
                $"'{Display.OneLine(source)}' would overwrite what this call has written of '{Display.OneLine(earlier)}'.",
                namesDirectory ? "Give each a destination of its own." : "For several files use a destination that ends with /.");
        }
    }

    /// <summary>Remembers what was written, for <see cref="RefuseOverwrite"/>.</summary>
    private protected void Written(string side, string target, string source) => _written[Key(side, target)] = source;

    private static string Key(string side, string path) =>
        $"{side}\0{(side.Length == 0 && (OperatingSystem.IsWindows() || OperatingSystem.IsMacOS()) ? path.ToUpperInvariant() : path)}";

    private List<TransferSource> Sources() =>
        [.. (Path ?? []).Select(path => new TransferSource(path, TransferSourceKind.Pattern)), .. (LiteralPath ?? []).Select(path => new TransferSource(path, TransferSourceKind.Literal))];

    private TransferJob FromPipeline(PSObject? item)
    {
        if (item is not null && SandboxTransformationAttribute.FromSandboxObject(item) is { } sandbox)
        {
            // Without a sandbox of its own, what stands in its place is what stands next otherwise.
            var given = Sandbox is not null && Array.TrueForAll(Sandbox, static reference => !reference.IsObject) ? Sandbox : null;
            return (Sandbox, Path, Destination) switch
            {
                (null, _, _) => new TransferJob([sandbox], Sources(), Destination),
                (_, null, _) when given is not null && LiteralPath is null => new TransferJob([sandbox], Array.ConvertAll(given, FromPlace), Destination),
                (_, null, null) when given is [var first] => new TransferJob([sandbox], Sources(), first.ToString()),
                (_, [var second], null) when given is not null && LiteralPath is null => new TransferJob([sandbox], Array.ConvertAll(given, FromPlace), second),
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

    /// <summary>What a thing names that stands in the sandbox's place.</summary>
    private protected abstract TransferSource FromPlace(SandboxReference given);

    private sealed class TransferProgressAdapter(IProgress<SandboxProgress> inner, string activity) : IProgress<TransferProgress>
    {
        public void Report(TransferProgress value) => inner.Report(new SandboxProgress(activity,
            value.BytesTotal is { } total ? $"{value.FileName}: {Display.Bytes(value.BytesDone)} of {Display.Bytes(total)}" : $"{value.FileName}: {Display.Bytes(value.BytesDone)}",
            value.BytesTotal is > 0 and var all ? (int)(value.BytesDone * 100 / all) : null));
    }
}

/// <summary>What is transferred, and where to.</summary>
internal sealed record TransferJob(IReadOnlyList<SandboxReference> Sandboxes, IReadOnlyList<TransferSource> Sources, string? Destination)
{
    public string? Destination { get; set; } = Destination;
}

/// <summary>A path as it was given.</summary>
internal readonly record struct TransferSource(string Path, TransferSourceKind Kind);

internal enum TransferSourceKind
{
    /// <summary>Wildcards are expanded.</summary>
    Pattern,

    /// <summary>Nothing in it is a wildcard.</summary>
    Literal,

    /// <summary>The full path of a file object: not even PowerShell's own rules for paths apply.</summary>
    Exact,
}
