using DoSandbox.Commands;
using DoSandbox.Connections;
using DoSandbox.Errors;
using DoSandbox.Files.Archives;

namespace DoSandbox.Files;

/// <summary>A directory of a sandbox to this machine: as one archive, or file by file where the sandbox has no tar.</summary>
internal static class DirectoryDownload
{
    private const int NoTar = 127;
    private const int CannotEnter = 126;
    private const int AllLevels = 4096;

    /// <summary>Fetches it.</summary>
    public static async Task<IReadOnlyList<string>> FetchAsync(ISandboxConnection connection, string source, string target, TransferOptions options, CancellationToken cancellationToken)
    {
        try
        {
            using var tree = new StagedTree(target, options);
            var meter = new TransferMeter(options, SandboxPath.NameOf(source), null);
            var fetched = await connection.HasExactOutputAsync(cancellationToken).ConfigureAwait(false)
                ? await FetchArchiveAsync(connection, source, tree, options, meter, cancellationToken).ConfigureAwait(false)
                : await FetchPackedAsync(connection, source, tree, options, meter, cancellationToken).ConfigureAwait(false);
            if (!fetched)
            {
                await FetchFilesAsync(connection, source, tree, options, meter, cancellationToken).ConfigureAwait(false);
            }

            var paths = tree.MoveIntoPlace();
            meter.Finish();
            return paths;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw LocalFiles.Translate(fault, target);
        }
    }

    private static async Task<bool> FetchArchiveAsync(ISandboxConnection connection, string source, StagedTree tree, TransferOptions options, TransferMeter meter,
        CancellationToken cancellationToken)
    {
        var script = $"command -v tar > /dev/null 2>&1 || exit {NoTar}; cd -- {ShellQuote.Quote(source)} || exit {CannotEnter}; exec tar -cf - .";
        var archive = new CommandOutputStream(connection, new CommandRequest(script), cancellationToken);
        await using (archive.ConfigureAwait(false))
        {
            var whole = true;
            try
            {
                await TarExtractor.ExtractAsync(archive, tree, options, meter, cancellationToken).ConfigureAwait(false);
                await DrainAsync(archive, cancellationToken).ConfigureAwait(false);
            }
            catch (EndOfStreamException)
            {
                // Why it ended says the exit.
                whole = false;
            }

            var exited = archive.Exited;
            if (exited is { ExitCode: NoTar })
            {
                return false;
            }

            if (whole && exited is { ExitCode: 0 })
            {
                return true;
            }

            throw Incomplete(source, exited?.ExitCode, archive.Error);
        }
    }

    private static SandboxException Incomplete(string source, int? exitCode, string error)
    {
        var said = SafeText.Clean(error);
        return new SandboxException(
            said.Contains("Permission denied", StringComparison.OrdinalIgnoreCase) ? SandboxErrorCode.PermissionDenied
            : said.Contains("No space left", StringComparison.OrdinalIgnoreCase) ? SandboxErrorCode.DiskFull
            : exitCode == CannotEnter ? SandboxErrorCode.FileNotFound : SandboxErrorCode.IntegrityMismatch,
            $"{SafeText.Clean(source, 300)} could not be fetched as a whole, and nothing of it was kept. {(said.Length > 0 ? said : $"tar ended with {exitCode}")}");
    }

    // Where output is text the archive comes as a file, which takes room in the sandbox for as long.
    private static async Task<bool> FetchPackedAsync(ISandboxConnection connection, string source, StagedTree tree, TransferOptions options, TransferMeter meter,
        CancellationToken cancellationToken)
    {
        using var cleanUp = new CleanUpLimit(cancellationToken);
        var packed = $"/tmp/.dosandbox-archive-{Guid.NewGuid():N}";
        try
        {
            var script = $"command -v tar > /dev/null 2>&1 || exit {NoTar}; cd -- {ShellQuote.Quote(source)} || exit {CannotEnter}; umask 077; exec tar -cf {packed} .";
            var result = await connection.RunToEndAsync(new CommandRequest(script), cancellationToken, maxOutput: 1024 * 1024).ConfigureAwait(false);
            if (result.ExitCode == NoTar)
            {
                return false;
            }

            if (!result.Success)
            {
                throw Incomplete(source, result.ExitCode, result.Stderr.Trim());
            }

            var archive = await connection.Files.OpenReadAsync(packed, cancellationToken).ConfigureAwait(false);
            await using (archive.ConfigureAwait(false))
            {
                await TarExtractor.ExtractAsync(archive, tree, options, meter, cancellationToken).ConfigureAwait(false);
            }

            return true;
        }
        catch (EndOfStreamException)
        {
            throw Incomplete(source, null, "The archive is cut short.");
        }
        finally
        {
            await cleanUp.RunAsync(bound => connection.Files.DeleteAsync(packed, bound)).ConfigureAwait(false);
        }
    }

    private static async Task DrainAsync(CommandOutputStream archive, CancellationToken cancellationToken)
    {
        // tar fills its last record up; a peer that goes on for ever is not listened to.
        var rest = new byte[16 * 1024];
        for (var total = 0; total < 4 * 1024 * 1024;)
        {
            var read = await archive.ReadAsync(rest, cancellationToken).ConfigureAwait(false);
            if (read == 0)
            {
                return;
            }

            total += read;
        }

        throw new SandboxException(SandboxErrorCode.UnsafeArchive, "The archive that the sandbox sent is refused: it goes on after its end.");
    }

    private static async Task FetchFilesAsync(ISandboxConnection connection, string source, StagedTree tree, TransferOptions options, TransferMeter meter, CancellationToken cancellationToken)
    {
        options.Warning?.Invoke("The sandbox has no tar: the directory is fetched file by file, which is slower.");
        var below = source == "/" ? "/" : source + "/";
        var buffer = new byte[256 * 1024];
        await foreach (var file in connection.Files.ListAsync(source, AllLevels, cancellationToken).ConfigureAwait(false))
        {
            if (!file.FullName.StartsWith(below, StringComparison.Ordinal))
            {
                throw new SandboxException(SandboxErrorCode.UnsafeArchive, $"The sandbox lists '{SafeText.Clean(file.FullName, 300)}' in {SafeText.Clean(source, 300)}, where it is not.");
            }

            var name = file.FullName[below.Length..];
            switch (file.Type)
            {
                case SandboxFileType.Directory:
                    tree.AddDirectory(name, file.Mode);
                    break;
                case SandboxFileType.SymbolicLink:
                    tree.AddLink(name, await ReadLinkAsync(connection, file.FullName, cancellationToken).ConfigureAwait(false));
                    break;
                case SandboxFileType.File:
                    var content = await connection.Files.OpenReadAsync(file.FullName, cancellationToken).ConfigureAwait(false);
                    await using (content.ConfigureAwait(false))
                    {
                        using var copy = tree.AddFile(name, file.Mode);
                        int read;
                        while ((read = await content.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
                        {
                            copy.Write(buffer.AsSpan(0, read));
                            meter.Add(read);
                        }
                    }

                    break;
                default:
                    options.Warning?.Invoke($"'{SafeText.Clean(name, 300)}' was left out: it is no file, directory or link.");
                    break;
            }
        }
    }

    private static async Task<string> ReadLinkAsync(ISandboxConnection connection, string path, CancellationToken cancellationToken)
    {
        var result = await connection.RunToEndAsync(new CommandRequest($"readlink -- {ShellQuote.Quote(path)}") { Timeout = TimeSpan.FromSeconds(30) }, cancellationToken).ConfigureAwait(false);
        return result.Success && result.Stdout.EndsWith('\n') ? result.Stdout[..^1] : "";
    }
}
