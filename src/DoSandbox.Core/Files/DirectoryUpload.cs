using DoSandbox.Commands;
using DoSandbox.Connections;
using DoSandbox.Errors;
using DoSandbox.Files.Archives;

namespace DoSandbox.Files;

/// <summary>A directory of this machine into a sandbox: as one archive, or file by file where the sandbox has no tar.</summary>
internal static class DirectoryUpload
{
    private const int NoTar = 127;
    private const int CutShort = 125;
    private const UnixFileMode NewDirectory = (UnixFileMode)0x1ed;
    private const UnixFileMode OwnerAll = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;

    /// <summary>Sends it.</summary>
    /// <param name="connection">The way into the sandbox.</param>
    /// <param name="root">The directory.</param>
    /// <param name="target">What it will be, normalised.</param>
    /// <param name="merge">True when the target is a directory already.</param>
    /// <param name="options">How.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public static async Task<IReadOnlyList<SandboxFile>> SendAsync(ISandboxConnection connection, string root, string target, bool merge, TransferOptions options,
        CancellationToken cancellationToken)
    {
        using var cleanUp = new CleanUpLimit(cancellationToken);
        List<Item> items;
        UnixFileMode? mode;
        try
        {
            mode = merge ? null : LocalFiles.ModeOf(root) ?? NewDirectory;
            items = Collect(root, options);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw LocalFiles.Translate(fault, root);
        }

        var meter = new TransferMeter(options, SandboxPath.NameOf(target), items.Sum(static item => item.Size));
        if (!await SendArchiveAsync(connection, items, target, mode, meter, cleanUp, cancellationToken).ConfigureAwait(false))
        {
            await SendFilesAsync(connection, items, target, mode, options, meter, cleanUp, cancellationToken).ConfigureAwait(false);
        }

        meter.Finish();
        return items.FindAll(static item => item.Type != SandboxFileType.Directory).ConvertAll(item => new SandboxFile
        {
            FullName = SandboxPath.Combine(target, item.Name),
            Type = item.Type,
            Size = item.Size,
            Mode = item.Mode,
            ModifiedAt = item.ModifiedAt,
        });
    }

    private static List<Item> Collect(string root, TransferOptions options)
    {
        var items = new List<Item>();
        var ahead = new Stack<(string Path, string Name)>();
        ahead.Push((root, ""));
        while (ahead.TryPop(out var directory))
        {
            if (directory.Name.Length > 0)
            {
                items.Add(new Item(directory.Path, directory.Name, SandboxFileType.Directory, 0, LocalFiles.ModeOf(directory.Path) ?? NewDirectory,
                    new DateTimeOffset(Directory.GetLastWriteTimeUtc(directory.Path)), null));
            }

            foreach (var entry in new DirectoryInfo(directory.Path).EnumerateFileSystemInfos("*", new EnumerationOptions { AttributesToSkip = FileAttributes.None, IgnoreInaccessible = false, MatchType = MatchType.Simple }))
            {
                var name = directory.Name.Length == 0 ? entry.Name : $"{directory.Name}/{entry.Name}";
                if (entry.LinkTarget is { } link)
                {
                    items.Add(new Item(entry.FullName, name, SandboxFileType.SymbolicLink, 0, (UnixFileMode)0x1ff, new DateTimeOffset(entry.LastWriteTimeUtc),
                        OperatingSystem.IsWindows() ? link.Replace('\\', '/') : link));
                }
                else if (entry is DirectoryInfo)
                {
                    ahead.Push((entry.FullName, name));
                }
                else if (!LocalFiles.IsRegularFile(entry.FullName))
                {
                    options.Warning?.Invoke($"'{SafeText.Clean(name, 300)}' was left out: it is no file, directory or link.");
                }
                else
                {
                    items.Add(new Item(entry.FullName, name, SandboxFileType.File, ((FileInfo)entry).Length, LocalFiles.ModeOf(entry.FullName) ?? (UnixFileMode)0x1a4,
                        new DateTimeOffset(entry.LastWriteTimeUtc), null));
                }
            }
        }

        return items;
    }

    // The mode is that of the directory where it is to be made, and null where it is there already and keeps its own.
    private static async Task<bool> SendArchiveAsync(ISandboxConnection connection, List<Item> items, string target, UnixFileMode? mode, TransferMeter meter, CleanUpLimit cleanUp,
        CancellationToken cancellationToken)
    {
        var merge = mode is null;
        // tar takes an archive without its end for a whole one. The last file tells, as the shell looks for it.
        var last = $".dosandbox-whole-{Guid.NewGuid():N}";
        var folder = merge ? target : SandboxPath.Combine(SandboxPath.ParentOf(target), $".dosandbox-{Guid.NewGuid():N}");
        var script = $"""
            command -v tar > /dev/null 2>&1 || exit {NoTar}
            t={ShellQuote.Quote(folder)}
            {(merge ? "" : "trap 'rm -rf -- \"$t\"' EXIT; trap 'exit 143' TERM INT HUP; mkdir -p -- \"${t%/*}/\" && mkdir -m 700 -- \"$t\" || exit 124")}
            cd -- "$t" && tar -xpof - || exit 124
            [ -f {last} ] || exit {CutShort}
            rm -f {last} || exit 124
            {(merge ? "" : $"chmod {Convert.ToString((int)mode!.Value, 8)} . && cd / && mv -- \"$t\" {ShellQuote.Quote(target)} || exit 124")}
            exit 0
            """;
        var pipe = new BlockPipe();
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var packing = PackAsync(items, last, pipe, meter, ended.Token);
        CommandResult result;
        try
        {
            result = await connection.RunToEndAsync(new CommandRequest(script) { Stdin = pipe.Reader }, cancellationToken, maxOutput: 1024 * 1024).ConfigureAwait(false);
        }
        catch (Exception fault)
        {
            if (!merge)
            {
                // A shell that was killed could not tidy up.
                await cleanUp.RunAsync(bound => connection.Files.DeleteAsync(folder, bound)).ConfigureAwait(false);
            }

            if (fault is SandboxException && packing.IsFaulted)
            {
                // What could not be read here is what went wrong.
                await packing.ConfigureAwait(false);
            }

            throw;
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
            await ((Task)packing).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        if (result.ExitCode == NoTar)
        {
            return false;
        }

        if (!result.Success)
        {
            if (packing.IsFaulted)
            {
                await packing.ConfigureAwait(false);
            }

            throw Refused(result, target, merge);
        }

        return true;
    }

    private static SandboxException Refused(CommandResult result, string target, bool merge)
    {
        var said = SafeText.Clean(result.Stderr.Trim());
        var code = Says("No space left") || Says("quota exceeded") ? SandboxErrorCode.DiskFull
            : Says("Permission denied") || Says("Read-only file system") || Says("Operation not permitted") ? SandboxErrorCode.PermissionDenied
            : Says("Not a directory") ? SandboxErrorCode.NotADirectory
            : Says("File exists") ? SandboxErrorCode.FileExists
            : result.ExitCode == CutShort ? SandboxErrorCode.Network
            : SandboxErrorCode.OutcomeUnknown;
        var state = merge ? "files that were there may have been replaced" : "nothing was left of it";
        return new SandboxException(code, $"The directory could not be written to {SafeText.Clean(target, 300)} in the sandbox; {state}. {(said.Length > 0 ? said : $"Its shell ended with {result.ExitCode}")}");

        bool Says(string words) => said.Contains(words, StringComparison.OrdinalIgnoreCase);
    }

    private static async Task PackAsync(List<Item> items, string last, BlockPipe pipe, TransferMeter meter, CancellationToken cancellationToken)
    {
        var path = "";
        try
        {
            var writer = new TarStreamWriter(pipe.Writer);
            foreach (var item in items)
            {
                path = item.Path;
                switch (item.Type)
                {
                    case SandboxFileType.Directory:
                        await writer.WriteDirectoryAsync(item.Name, item.Mode, item.ModifiedAt, cancellationToken).ConfigureAwait(false);
                        break;
                    case SandboxFileType.SymbolicLink:
                        await writer.WriteLinkAsync(item.Name, item.Link!, item.ModifiedAt, cancellationToken).ConfigureAwait(false);
                        break;
                    default:
                        var content = Open(item.Path);
                        await using (content.ConfigureAwait(false))
                        {
                            var exact = await ExactContent.OfAsync(content, cancellationToken).ConfigureAwait(false);
                            var whole = await ExactContent.SetAsideAsync(exact, cancellationToken).ConfigureAwait(false);
                            await using (whole.ConfigureAwait(false))
                            {
                                item.Size = whole.Length;
                                await writer.WriteFileAsync(item.Name, whole, item.Size, item.Mode, item.ModifiedAt, read => meter.Add(read), cancellationToken).ConfigureAwait(false);
                            }
                        }

                        break;
                }
            }

            await writer.WriteFileAsync(last, Stream.Null, 0, UnixFileMode.UserRead | UnixFileMode.UserWrite, DateTimeOffset.UnixEpoch, null, cancellationToken).ConfigureAwait(false);
            await writer.FinishAsync(cancellationToken).ConfigureAwait(false);
            await pipe.CompleteAsync(null, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception fault)
        {
            var told = fault is IOException or UnauthorizedAccessException ? LocalFiles.Translate(fault, path) : fault;
            await pipe.CompleteAsync(told, cancellationToken).ConfigureAwait(false);
            throw told;
        }
    }

    private static async Task SendFilesAsync(ISandboxConnection connection, List<Item> items, string target, UnixFileMode? mode, TransferOptions options, TransferMeter meter,
        CleanUpLimit cleanUp, CancellationToken cancellationToken)
    {
        var directories = new List<(string Path, UnixFileMode Mode)>();
        options.Warning?.Invoke("The sandbox has no tar: the directory is sent file by file, which is slower.");
        try
        {
            if (mode is { } own)
            {
                await MakeAsync(target, own).ConfigureAwait(false);
            }

            foreach (var item in items)
            {
                var path = SandboxPath.Combine(target, item.Name);
                switch (item.Type)
                {
                    case SandboxFileType.Directory:
                        await MakeAsync(path, item.Mode).ConfigureAwait(false);
                        break;
                    case SandboxFileType.SymbolicLink:
                        var made = await connection.RunToEndAsync(new CommandRequest($"rm -f -- {ShellQuote.Quote(path)} && ln -s -- {ShellQuote.Quote(item.Link!)} {ShellQuote.Quote(path)}"), cancellationToken)
                            .ConfigureAwait(false);
                        if (!made.Success)
                        {
                            throw Refused(made, path, mode is null);
                        }

                        break;
                    default:
                        var content = Open(item.Path);
                        await using (content.ConfigureAwait(false))
                        {
                            var metered = new MeteredStream(content, meter);
                            await connection.Files.WriteAsync(path, metered, item.Mode, cancellationToken).ConfigureAwait(false);
                            item.Size = metered.Total;
                        }

                        break;
                }
            }

            foreach (var directory in Enumerable.Reverse(directories))
            {
                await connection.Files.SetModeAsync(directory.Path, directory.Mode, cancellationToken).ConfigureAwait(false);
            }
        }
        catch (Exception fault)
        {
            if (mode is not null)
            {
                await cleanUp.RunAsync(bound => connection.Files.DeleteAsync(target, bound)).ConfigureAwait(false);
            }

            if (fault is IOException or UnauthorizedAccessException)
            {
                throw LocalFiles.Translate(fault, target);
            }

            throw;
        }

        async Task MakeAsync(string path, UnixFileMode bits)
        {
            await connection.Files.CreateDirectoryAsync(path, bits | OwnerAll, cancellationToken).ConfigureAwait(false);
            if ((bits & OwnerAll) != OwnerAll)
            {
                // Not before all is in it.
                directories.Add((path, bits));
            }
        }
    }

    private static FileStream Open(string path) =>
        new(path, new FileStreamOptions { Mode = FileMode.Open, Access = FileAccess.Read, Share = FileShare.ReadWrite | FileShare.Delete, BufferSize = 0 });

    private sealed record Item(string Path, string Name, SandboxFileType Type, long Size, UnixFileMode Mode, DateTimeOffset ModifiedAt, string? Link)
    {
        /// <summary>Bytes: as the file tells it, and once it is sent what it was.</summary>
        public long Size { get; set; } = Size;
    }
}
