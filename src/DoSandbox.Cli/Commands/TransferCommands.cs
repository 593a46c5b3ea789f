using System.CommandLine;
using System.Globalization;
using DoSandbox.Cli.CommandLine;
using DoSandbox.Cli.Output;
using DoSandbox.Errors;
using DoSandbox.Files;

namespace DoSandbox.Cli.Commands;

/// <summary><c>sandbox upload</c>: files and directories into a sandbox.</summary>
internal static class UploadCommand
{
    public static Command Build()
    {
        var sandbox = Targets.Sandbox();
        var paths = new Argument<string[]>("path")
        {
            Description = "Files and directories of this machine, and last the destination, an absolute path in the sandbox. As with cp -r: into it where it is a directory or ends with /, else under that name",
            Arity = new ArgumentArity(2, 100_000),
        };
        var id = Targets.Id();
        var force = TransferOutput.Force();
        var command = new Command("upload", "Sends files and whole directories into a sandbox") { sandbox, paths, id, force };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var given = parsed.GetRequiredValue(paths);
            var (sources, destination) = TransferOutput.Split(given);
            TransferOutput.CheckLocal(sources);
            SandboxPath.Normalize(destination);
            var connection = await Targets.ConnectAsync(parsed.GetRequiredValue(sandbox), parsed.GetValue(id), cancellationToken).ConfigureAwait(false);
            using var output = new TransferOutput(parsed.GetValue(force));
            await output.EachAsync(sources, async source =>
            {
                await foreach (var file in SandboxTransfer.UploadAsync(connection, Path.GetFullPath(source), destination, output.Options, cancellationToken).ConfigureAwait(false))
                {
                    output.Count(file.Type == SandboxFileType.Directory ? null : file.Type == SandboxFileType.File ? file.Size : 0);
                }
            }).ConfigureAwait(false);
            return output.Finish("sent");
        });
        return command;
    }
}

/// <summary><c>sandbox download</c>: files and directories out of a sandbox.</summary>
internal static class DownloadCommand
{
    public static Command Build()
    {
        var sandbox = Targets.Sandbox();
        var paths = new Argument<string[]>("path")
        {
            Description = "Absolute paths in the sandbox, and last the destination on this machine. With one path alone it goes into the current directory. As with cp -r: into the destination where that is a directory or ends with /, else under that name",
            Arity = new ArgumentArity(1, 100_000),
        };
        var id = Targets.Id();
        var force = TransferOutput.Force();
        var command = new Command("download", "Fetches files and whole directories out of a sandbox. Links never lead outside the destination") { sandbox, paths, id, force };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var given = parsed.GetRequiredValue(paths);
            var (sources, destination) = given is [var only] ? ([only], "./") : TransferOutput.Split(given);
            Array.ForEach(sources, source => SandboxPath.Normalize(source));
            TransferOutput.CheckLocal([destination]);
            var connection = await Targets.ConnectAsync(parsed.GetRequiredValue(sandbox), parsed.GetValue(id), cancellationToken).ConfigureAwait(false);
            using var output = new TransferOutput(parsed.GetValue(force));
            await output.EachAsync(sources, async source =>
            {
                await foreach (var file in SandboxTransfer.DownloadAsync(connection, source, destination, output.Options, cancellationToken).ConfigureAwait(false))
                {
                    output.Count(file is FileInfo one ? one.LinkTarget is null ? one.Length : 0 : null);
                }
            }).ConfigureAwait(false);
            return output.Finish("fetched");
        });
        return command;
    }
}

/// <summary>What a person at a terminal sees of a transfer. Scripts see nothing but errors.</summary>
internal sealed class TransferOutput : IDisposable, IProgress<TransferProgress>
{
    private readonly ProgressLine _line = new();
    private int _files;
    private long _bytes;
    private bool _failed;

    public TransferOutput(bool force)
    {
        Options = new TransferOptions { Force = force, Progress = this, Warning = ErrorText.Warn };
    }

    public TransferOptions Options { get; }

    public static Option<bool> Force() => new("--force", "-f") { Description = "Overwrites files, and merges into a directory that exists" };

    /// <summary>Takes the last path as the destination; for several sources it must be a directory.</summary>
    public static (string[] Sources, string Destination) Split(string[] paths)
    {
        var destination = paths[^1];
        return (paths[..^1], paths.Length > 2 && !destination.EndsWith('/') ? destination + '/' : destination);
    }

    /// <summary>Refuses what cannot be a path of this machine.</summary>
    /// <exception cref="SandboxException">InvalidArgument.</exception>
    public static void CheckLocal(string[] paths)
    {
        if (Array.Exists(paths, static path => string.IsNullOrWhiteSpace(path) || path.Contains('\0', StringComparison.Ordinal)))
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, "A path on this machine is empty or holds a NUL character.", "Use . for the current directory.");
        }
    }

    /// <summary>Transfers every source; one that fails is told, and does not hold the others up.</summary>
    public async Task EachAsync(string[] sources, Func<string, Task> transfer)
    {
        foreach (var source in sources)
        {
            try
            {
                await transfer(source).ConfigureAwait(false);
            }
            catch (Exception fault) when (fault is SandboxException or IOException or UnauthorizedAccessException)
            {
                _failed = true;
                _line.Clear();
                ErrorText.Write(fault);
                if (fault is SandboxException { Code: SandboxErrorCode.SandboxEnded })
                {
                    // None of the others can go better.
                    return;
                }
            }
        }
    }

    public void Report(TransferProgress value) => _line.Report(new Sandboxes.SandboxProgress(
        value.FileName, Size(value.BytesDone), value.BytesTotal is > 0 and var total ? (int)(value.BytesDone * 100 / total) : null));

    /// <param name="bytes">The size of a file; null for a directory, which is not counted.</param>
    public void Count(long? bytes)
    {
        _files += bytes is null ? 0 : 1;
        _bytes += bytes ?? 0;
    }

    /// <returns>The exit code.</returns>
    public int Finish(string what)
    {
        _line.Clear();
        if (!Console.IsErrorRedirected)
        {
            ErrorText.Note(string.Create(CultureInfo.InvariantCulture, $"{what}: {_files} {(_files == 1 ? "file" : "files")}, {Size(_bytes)}"));
        }

        return _failed ? 1 : 0;
    }

    public void Dispose() => _line.Dispose();

    private static string Size(long bytes) => bytes switch
    {
        < 1024 => string.Create(CultureInfo.InvariantCulture, $"{bytes} B"),
        < 1024 * 1024 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1024.0:0.0} KiB"),
        < 1024L * 1024 * 1024 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1048576.0:0.0} MiB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1073741824.0:0.00} GiB"),
    };
}
