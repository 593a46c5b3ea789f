using System.Management.Automation;
using DoSandbox.Files;

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
        FileSystemInfo file => new TransferJob([], [], [file.FullName], null),
        string path => new TransferJob([], [path], [], null),
        _ when item.Properties["PSPath"]?.Value is string path => new TransferJob([], [], [path], null),
        _ => null,
    };

    private protected override void Transfer(TransferJob job)
    {
        // Host paths are resolved here: only the pipeline thread knows the current location and the drives.
        var sources = job.Paths.SelectMany(path => this.ResolveHostWildcards(path)).Concat(job.LiteralPaths.Select(path => this.ResolveHostPath(path))).ToList();
        var approved = new List<(SandboxReference Sandbox, string Source)>();
        foreach (var sandbox in job.Sandboxes)
        {
            foreach (var source in sources)
            {
                if (ShouldProcess(Display.OneLine($"{sandbox}:{job.Destination}"), $"Send '{Display.OneLine(source)}'"))
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
                    var written = 0;
                    await foreach (var file in SandboxTransfer.UploadAsync(connection, source, job.Destination!, options, StopToken).ConfigureAwait(false))
                    {
                        if (written++ == 0 || PassThru)
                        {
                            await WriteAsync(file with { SandboxId = sandbox.Id }).ConfigureAwait(false);
                        }
                    }
                }).ConfigureAwait(false);
            }
        });
    }
}
