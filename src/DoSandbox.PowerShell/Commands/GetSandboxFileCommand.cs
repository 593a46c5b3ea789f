using System.Management.Automation;
using DoSandbox.Connections;
using DoSandbox.Errors;
using DoSandbox.Files;

namespace DoSandbox.PowerShell.Commands;

/// <summary>Fetches files and directories out of sandboxes.</summary>
[Cmdlet(VerbsCommon.Get, "SandboxFile", SupportsShouldProcess = true)]
[OutputType(typeof(FileInfo), typeof(DirectoryInfo))]
public sealed class GetSandboxFileCommand : SandboxFileCommand
{
    private protected override string Example =>
        "Write: Get-SandboxFile <sandbox> <path> [<destination>], or: <sandbox> | Get-SandboxFile <path> [<destination>].";

    private protected override string DefaultDestination => ".";

    private protected override TransferJob? FromFile(PSObject item)
    {
        if (item.BaseObject is string path)
        {
            return new TransferJob([], [path], [], null);
        }

        return (item.BaseObject is SandboxFile || item.TypeNames.Contains($"Deserialized.{typeof(SandboxFile).FullName}")) && item.Properties["FullName"]?.Value is string fullName
            ? new TransferJob(item.Properties["SandboxId"]?.Value is string { Length: > 0 } id ? [new SandboxReference(id)] : [], [], [fullName], null)
            : null;
    }

    private protected override void Transfer(TransferJob job)
    {
        var destination = this.ResolveHostPath(job.Destination!);
        if (System.IO.Path.EndsInDirectorySeparator(job.Destination!) && !System.IO.Path.EndsInDirectorySeparator(destination))
        {
            destination += System.IO.Path.DirectorySeparatorChar;
        }

        var approved = new List<(SandboxReference Sandbox, string Source, bool IsLiteral)>();
        foreach (var sandbox in job.Sandboxes)
        {
            foreach (var (source, isLiteral) in job.Paths.Select(path => (path, false)).Concat(job.LiteralPaths.Select(path => (path, true))))
            {
                if (ShouldProcess(Display.OneLine(destination), Display.OneLine($"Fetch '{source}' from {sandbox}")))
                {
                    approved.Add((sandbox, source, isLiteral));
                }
            }
        }

        if (approved.Count == 0)
        {
            return;
        }

        Run(async () =>
        {
            foreach (var (reference, source, isLiteral) in approved)
            {
                await TransferOneAsync(reference, async (_, connection, options) =>
                {
                    var fetched = 0;
                    await foreach (var path in FindAsync(connection, source, isLiteral).ConfigureAwait(false))
                    {
                        fetched++;
                        // One that fails does not keep the others from their turn.
                        await ForOneAsync(reference.Target, () => FetchAsync(connection, path, destination, options)).ConfigureAwait(false);
                    }

                    if (fetched == 0)
                    {
                        throw new SandboxException(SandboxErrorCode.FileNotFound, $"Nothing in the sandbox is '{source}'.",
                            "Check the path. A name with [ or * in it needs -LiteralPath.");
                    }
                }).ConfigureAwait(false);
            }
        });
    }

    private static async IAsyncEnumerable<string> OneAsync(string path)
    {
        await Task.CompletedTask.ConfigureAwait(false);
        yield return path;
    }

    private IAsyncEnumerable<string> FindAsync(ISandboxConnection connection, string source, bool isLiteral) =>
        isLiteral || !(SandboxGlob.HasWildcards(source) || source.Contains('`', StringComparison.Ordinal)) ? OneAsync(source) : SandboxGlob.ExpandAsync(connection, source, StopToken);

    private async Task FetchAsync(ISandboxConnection connection, string path, string destination, TransferOptions options)
    {
        var written = 0;
        await foreach (var file in SandboxTransfer.DownloadAsync(connection, path, destination, options, StopToken).ConfigureAwait(false))
        {
            if (written++ == 0 || PassThru)
            {
                await InvokeAsync(() => WriteHostItem(file)).ConfigureAwait(false);
            }
        }
    }

    // As Get-Item gives it, with PSPath: without that it could not be piped into Get-Content and the like.
    private void WriteHostItem(FileSystemInfo file)
    {
        var items = InvokeProvider.Item.Get([$@"Microsoft.PowerShell.Core\FileSystem::{file.FullName}"], force: true, literalPath: true);
        WriteObject(items.Count == 1 ? items[0] : file);
    }
}
