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
    private const string ThisMachine = "";

    private protected override string Example =>
        "Write: Get-SandboxFile <sandbox> <path> [<destination>], or: <sandbox> | Get-SandboxFile <path> [<destination>].";

    private protected override string DefaultDestination => ".";

    private protected override TransferJob? FromFile(PSObject item)
    {
        if (item.BaseObject is string path)
        {
            return new TransferJob([], [new TransferSource(path, TransferSourceKind.Pattern)], null);
        }

        return (item.BaseObject is SandboxFile || item.TypeNames.Contains($"Deserialized.{typeof(SandboxFile).FullName}")) && item.Properties["FullName"]?.Value is string fullName
            ? new TransferJob(item.Properties["SandboxId"]?.Value is string { Length: > 0 } id ? [new SandboxReference(id)] : [], [new TransferSource(fullName, TransferSourceKind.Exact)], null)
            : null;
    }

    private protected override TransferSource FromPlace(SandboxReference given) => given switch
    {
        { SandboxFile: { } file } => new TransferSource(file, TransferSourceKind.Exact),
        { HostFile: { } file } => throw new SandboxException(SandboxErrorCode.InvalidArgument, $"'{Display.OneLine(file)}' is a file of this machine, not one in a sandbox.", Example),
        _ => new TransferSource(given.ToString(), TransferSourceKind.Pattern),
    };

    private protected override void Transfer(TransferJob job)
    {
        var destination = this.ResolveHostPath(job.Destination!);
        if (System.IO.Path.EndsInDirectorySeparator(job.Destination!) && !System.IO.Path.EndsInDirectorySeparator(destination))
        {
            destination += System.IO.Path.DirectorySeparatorChar;
        }

        if (!System.IO.Path.EndsInDirectorySeparator(destination) && (job.Sandboxes.Count * job.Sources.Count > 1 || job.Sources.Any(IsPattern)))
        {
            destination += System.IO.Path.DirectorySeparatorChar;
        }

        var approved = new List<(SandboxReference Sandbox, TransferSource Source)>();
        foreach (var sandbox in job.Sandboxes)
        {
            foreach (var source in job.Sources)
            {
                if (ShouldProcess(Display.OneLine(destination), Display.OneLine($"Fetch '{source.Path}' from {sandbox.Name}")))
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
                await TransferOneAsync(reference, async (_, connection, options) =>
                {
                    var fetched = 0;
                    await foreach (var path in FindAsync(connection, source).ConfigureAwait(false))
                    {
                        fetched++;
                        // One that fails does not keep the others from their turn.
                        await ForOneAsync(reference.Target, () => FetchAsync(connection, path, destination, options)).ConfigureAwait(false);
                    }

                    if (fetched == 0)
                    {
                        throw new SandboxException(SandboxErrorCode.FileNotFound, $"Nothing in the sandbox is '{source.Path}'.",
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

    private static bool IsPattern(TransferSource source) => source.Kind == TransferSourceKind.Pattern && SandboxGlob.HasWildcards(source.Path);

    // A backtick without a wildcard escapes all the same.
    private IAsyncEnumerable<string> FindAsync(ISandboxConnection connection, TransferSource source) =>
        source.Kind == TransferSourceKind.Pattern && (IsPattern(source) || source.Path.Contains('`', StringComparison.Ordinal))
            ? SandboxGlob.ExpandAsync(connection, source.Path, StopToken)
            : OneAsync(source.Path);

    private async Task FetchAsync(ISandboxConnection connection, string path, string destination, TransferOptions options)
    {
        var isDirectory = System.IO.Path.EndsInDirectorySeparator(destination);
        var target = System.IO.Path.TrimEndingDirectorySeparator(destination);
        RefuseOverwrite(ThisMachine, target, isDirectory, System.IO.Path.Combine(target, SandboxPath.NameOf(path)), path);
        var written = 0;
        await foreach (var file in SandboxTransfer.DownloadAsync(connection, path, destination, options, StopToken).ConfigureAwait(false))
        {
            if (written++ == 0)
            {
                Written(ThisMachine, file.FullName, path);
            }

            if (written == 1 || PassThru)
            {
                await InvokeAsync(() => WriteHostItem(file)).ConfigureAwait(false);
            }
        }
    }

    // As Get-Item gives it, with PSPath: without that it could not be piped into Get-Content and the like.
    private void WriteHostItem(FileSystemInfo file)
    {
        var path = $@"Microsoft.PowerShell.Core\FileSystem::{file.FullName}";
        PSObject? item = null;
        try
        {
            item = InvokeProvider.Item.Get([path], force: true, literalPath: true) is [var only] ? only : null;
        }
        catch (Exception exception) when (exception is ItemNotFoundException or ProviderInvocationException)
        {
            // PowerShell takes a backslash in a name for a separator; or somebody has removed the file since.
        }

        if (item is null)
        {
            item = new PSObject(file);
            item.Properties.Add(new PSNoteProperty("PSPath", path));
        }

        WriteObject(item);
    }
}
