using System.Management.Automation;
using DoSandbox.Errors;
using DoSandbox.Files;
using DoSandbox.PowerShell.Pipeline;

namespace DoSandbox.PowerShell.Commands;

/// <summary>Sends files and directories of this machine into sandboxes.</summary>
[Cmdlet(VerbsCommunications.Send, "SandboxFile", SupportsShouldProcess = true)]
[OutputType(typeof(SandboxFile))]
public sealed class SendSandboxFileCommand : SandboxFileCommand
{
    private protected override string Example =>
        "Write: Send-SandboxFile <sandbox> <path> <destination>, or: <sandbox> | Send-SandboxFile <path> <destination>, or: Get-ChildItem ... | Send-SandboxFile <sandbox> <destination>.";

    private protected override string? DefaultDestination => null;

    private protected override TransferJob? FromFile(PSObject item) => item.BaseObject switch
    {
        FileSystemInfo file => new TransferJob([], [new TransferSource(file.FullName, TransferSourceKind.Exact)], null),
        string path => new TransferJob([], [new TransferSource(path, TransferSourceKind.Pattern)], null),
        _ when item.Properties["PSPath"]?.Value is string path => new TransferJob([], [new TransferSource(path, TransferSourceKind.Literal)], null),
        _ => null,
    };

    private protected override TransferSource FromPlace(SandboxReference given) => given switch
    {
        { HostFile: { } file } => new TransferSource(file, TransferSourceKind.Exact),
        { SandboxFile: { } file } => throw new SandboxException(SandboxErrorCode.InvalidArgument, $"'{Display.OneLine(file)}' is a file in a sandbox, not one of this machine.", Example),
        _ => new TransferSource(given.ToString(), TransferSourceKind.Pattern),
    };

    private protected override void Transfer(TransferJob job)
    {
        var sources = Resolve(job.Sources);
        var destination = job.Destination!;
        if (!SandboxPath.NamesDirectory(destination)
            && (sources.Count > 1 || job.Sources.Count > 1 || job.Sources.Any(source => source.Kind == TransferSourceKind.Pattern && WildcardPattern.ContainsWildcardCharacters(source.Path))))
        {
            destination += "/";
        }

        var approved = new List<(SandboxReference Sandbox, string Source)>();
        foreach (var sandbox in job.Sandboxes)
        {
            foreach (var source in sources)
            {
                if (ShouldProcess(Display.OneLine($"{sandbox.Name}:{destination}"), $"Send '{Display.OneLine(source)}'"))
                {
                    approved.Add((sandbox, source));
                }
            }
        }

        if (approved.Count == 0)
        {
            return;
        }

        Run(async () =>
        {
            foreach (var (reference, source) in approved)
            {
                await TransferOneAsync(reference, async (sandbox, connection, options) =>
                {
                    var target = SandboxPath.Normalize(destination);
                    var name = System.IO.Path.GetFileName(System.IO.Path.TrimEndingDirectorySeparator(source));
                    RefuseOverwrite(sandbox.Id, target, SandboxPath.NamesDirectory(destination), SandboxPath.Combine(target, name), source);
                    var written = 0;
                    await foreach (var file in SandboxTransfer.UploadAsync(connection, source, destination, options, StopToken).ConfigureAwait(false))
                    {
                        if (written++ == 0)
                        {
                            Written(sandbox.Id, file.FullName, source);
                        }

                        if (written == 1 || PassThru)
                        {
                            await WriteAsync(file with { SandboxId = sandbox.Id }).ConfigureAwait(false);
                        }
                    }
                }).ConfigureAwait(false);
            }
        });
    }

    // Here, as only the pipeline thread knows the current location and the drives. A path that is not there does not keep the others from their turn.
    private List<string> Resolve(IReadOnlyList<TransferSource> sources)
    {
        var found = new List<string>();
        foreach (var source in sources)
        {
            try
            {
                switch (source.Kind)
                {
                    case TransferSourceKind.Pattern:
                        found.AddRange(this.ResolveHostWildcards(source.Path));
                        break;
                    case TransferSourceKind.Literal:
                        found.Add(this.ResolveHostPath(source.Path));
                        break;
                    default:
                        found.Add(source.Path);
                        break;
                }
            }
            catch (SandboxException exception) when (exception.Code == SandboxErrorCode.FileNotFound)
            {
                WriteError(ErrorRecords.From(exception, source.Path));
            }
        }

        return found;
    }
}
