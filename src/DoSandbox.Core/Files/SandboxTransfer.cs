using System.Buffers;
using System.Runtime.CompilerServices;
using DoSandbox.Commands;
using DoSandbox.Connections;
using DoSandbox.Errors;

namespace DoSandbox.Files;

/// <summary>
/// Files and whole directories between this machine and a sandbox, as <c>cp -r</c> names them: into the destination where that is a
/// directory or ends with a /, else under the destination's own name. Nothing half-made is left where a transfer fails.
/// </summary>
public static class SandboxTransfer
{
    private const int BufferSize = 512 * 1024;

    /// <summary>Sends a file or a directory.</summary>
    /// <param name="connection">The way into the sandbox.</param>
    /// <param name="localPath">A file or directory of this machine.</param>
    /// <param name="destination">An absolute path in the sandbox.</param>
    /// <param name="options">How.</param>
    /// <param name="cancellationToken">Ends it; nothing is left of it.</param>
    /// <returns>The directory, where one was named, then the files and links that were written, once all of them are.</returns>
    /// <exception cref="SandboxException">FileNotFound, FileExists (before anything is sent), DiskFull, PermissionDenied, Network and others.</exception>
    public static async IAsyncEnumerable<SandboxFile> UploadAsync(ISandboxConnection connection, string localPath, string destination, TransferOptions options,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        localPath = Path.GetFullPath(localPath);
        var isDirectory = Directory.Exists(localPath);
        if (!isDirectory && !File.Exists(localPath))
        {
            throw new SandboxException(SandboxErrorCode.FileNotFound, $"There is no {SafeText.Clean(localPath, 300)} on this machine.", "Check the path on this machine.");
        }

        var name = Path.GetFileName(Path.TrimEndingDirectorySeparator(localPath));
        var target = SandboxPath.Normalize(destination);
        var into = SandboxPath.NamesDirectory(destination);
        var existing = await FindAsync(connection, target, cancellationToken).ConfigureAwait(false);
        if (existing is not null && existing.Type != SandboxFileType.Directory && into)
        {
            throw new SandboxException(SandboxErrorCode.NotADirectory, $"{SafeText.Clean(target, 300)} in the sandbox is no directory.");
        }

        if (into || existing is { Type: SandboxFileType.Directory })
        {
            target = SandboxPath.Normalize(SandboxPath.Combine(target, name));
            existing = await FindAsync(connection, target, cancellationToken).ConfigureAwait(false);
        }

        if (existing is not null)
        {
            if (existing.Type == SandboxFileType.Directory != isDirectory)
            {
                throw isDirectory
                    ? new SandboxException(SandboxErrorCode.NotADirectory, $"{SafeText.Clean(target, 300)} exists in the sandbox and is no directory.")
                    : new SandboxException(SandboxErrorCode.IsADirectory, $"{SafeText.Clean(target, 300)} exists in the sandbox and is a directory.");
            }

            if (!options.Force)
            {
                throw new SandboxException(SandboxErrorCode.FileExists, $"{SafeText.Clean(target, 300)} exists in the sandbox.");
            }
        }

        if (isDirectory)
        {
            var files = await DirectoryUpload.SendAsync(connection, localPath, target, existing is not null, options, cancellationToken).ConfigureAwait(false);
            if (await connection.Files.GetAsync(target, cancellationToken).ConfigureAwait(false) is { } directory)
            {
                yield return directory;
            }

            foreach (var file in files)
            {
                yield return file;
            }
        }
        else
        {
            yield return await UploadFileAsync(connection, localPath, target, options, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Fetches a file or a directory.</summary>
    /// <param name="connection">The way into the sandbox.</param>
    /// <param name="sandboxPath">An absolute path in the sandbox. A link is followed.</param>
    /// <param name="destination">A path of this machine; missing directories on the way are made.</param>
    /// <param name="options">How.</param>
    /// <param name="cancellationToken">Ends it; nothing is left of it.</param>
    /// <returns>The directory, where one was named, then the files and links that were written, once all of them are.</returns>
    /// <exception cref="SandboxException">FileNotFound, FileExists (before anything is fetched), UnsafeArchive, DiskFull, PermissionDenied, Network and others.</exception>
    public static async IAsyncEnumerable<FileSystemInfo> DownloadAsync(ISandboxConnection connection, string sandboxPath, string destination, TransferOptions options,
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var source = SandboxPath.Normalize(sandboxPath);
        var file = await FindAsync(connection, source, cancellationToken).ConfigureAwait(false)
            ?? throw new SandboxException(SandboxErrorCode.FileNotFound, $"There is no {SafeText.Clean(source, 300)} in the sandbox.");
        if (file.Type is not (SandboxFileType.File or SandboxFileType.Directory))
        {
            throw new SandboxException(SandboxErrorCode.NotSupported, $"{SafeText.Clean(source, 300)} in the sandbox is no file and no directory.", "Only files, directories and links to them can be fetched.");
        }

        var target = PrepareTarget(source, destination, file.Type == SandboxFileType.Directory, options);
        if (file.Type == SandboxFileType.Directory)
        {
            var paths = await DirectoryDownload.FetchAsync(connection, source, target, options, cancellationToken).ConfigureAwait(false);
            yield return new DirectoryInfo(target);
            foreach (var path in paths)
            {
                yield return new FileInfo(path);
            }
        }
        else
        {
            await DownloadFileAsync(connection, source, file, target, options, cancellationToken).ConfigureAwait(false);
            yield return new FileInfo(target);
        }
    }

    /// <summary>What is at a path, a link followed to what it leads to; null when nothing is, or the link leads nowhere.</summary>
    internal static async Task<SandboxFile?> FindAsync(ISandboxConnection connection, string path, CancellationToken cancellationToken)
    {
        var file = await connection.Files.GetAsync(path, cancellationToken).ConfigureAwait(false);
        if (file is not { Type: SandboxFileType.SymbolicLink })
        {
            return file;
        }

        var real = await ResolveAsync(connection, path, cancellationToken).ConfigureAwait(false);
        var followed = real is null ? null : await connection.Files.GetAsync(real, cancellationToken).ConfigureAwait(false);
        return followed is null ? null : followed with { FullName = path };
    }

    /// <summary>The path without links; null when it leads nowhere.</summary>
    internal static async Task<string?> ResolveAsync(ISandboxConnection connection, string path, CancellationToken cancellationToken)
    {
        // The x keeps line ends at the end of a name from being taken for the output's own.
        var result = await connection.RunToEndAsync(
            new CommandRequest($"p=$(readlink -f -- {ShellQuote.Quote(path)} && echo x) && printf %s \"$p\"") { Timeout = TimeSpan.FromSeconds(30) }, cancellationToken).ConfigureAwait(false);
        var printed = result.Stdout;
        if (printed.EndsWith("\n\n", StringComparison.Ordinal))
        {
            printed = printed[..^1];
        }

        return result.Success && printed.TrimEnd('\n').EndsWith("\nx", StringComparison.Ordinal) ? printed.TrimEnd('\n')[..^2] : null;
    }

    private static async Task<SandboxFile> UploadFileAsync(ISandboxConnection connection, string localPath, string target, TransferOptions options, CancellationToken cancellationToken)
    {
        if (!LocalFiles.IsRegularFile(ResolveLocal(localPath)))
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, $"{SafeText.Clean(localPath, 300)} on this machine is a pipe, a socket or a device.", "Only files and directories can be sent.");
        }

        try
        {
            var content = new FileStream(localPath, new FileStreamOptions { Mode = FileMode.Open, Access = FileAccess.Read, Share = FileShare.ReadWrite | FileShare.Delete, BufferSize = 0 });
            await using (content.ConfigureAwait(false))
            {
                var meter = new TransferMeter(options, SandboxPath.NameOf(target), content.Length is > 0 and var length ? length : null);
                await connection.Files.WriteAsync(target, new MeteredStream(content, meter), LocalFiles.ModeOf(localPath), cancellationToken).ConfigureAwait(false);
                meter.Finish();
            }
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw LocalFiles.Translate(fault, localPath);
        }

        return await connection.Files.GetAsync(target, cancellationToken).ConfigureAwait(false)
            ?? throw new SandboxException(SandboxErrorCode.FileNotFound, $"{SafeText.Clean(target, 300)} was written, and has been removed in the sandbox since.");
    }

    private static string ResolveLocal(string path) => File.ResolveLinkTarget(path, returnFinalTarget: true)?.FullName ?? path;

    private static string PrepareTarget(string source, string destination, bool isDirectory, TransferOptions options)
    {
        if (string.IsNullOrWhiteSpace(destination))
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, "The destination on this machine is empty.", "Use . for the current directory.");
        }

        try
        {
            var target = Path.GetFullPath(destination);
            if (Path.EndsInDirectorySeparator(destination) || Directory.Exists(target))
            {
                var name = SandboxPath.NameOf(source);
                if (name == "/")
                {
                    name = "root";
                }

                if (LocalFiles.WhyNoName(name) is { } why)
                {
                    throw new SandboxException(SandboxErrorCode.InvalidArgument, $"'{SafeText.Clean(name, 300)}' cannot be a name on this machine: {why}.", "Give the destination with a name of its own.");
                }

                target = Path.Combine(target, name);
            }

            target = Path.TrimEndingDirectorySeparator(target);
            if (LocalFiles.Exists(target))
            {
                if (Directory.Exists(target) && !isDirectory)
                {
                    throw new SandboxException(SandboxErrorCode.IsADirectory, $"{SafeText.Clean(target, 300)} on this machine is a directory.");
                }

                if (isDirectory && (!Directory.Exists(target) || LocalFiles.IsLink(target)))
                {
                    throw new SandboxException(SandboxErrorCode.NotADirectory, $"{SafeText.Clean(target, 300)} on this machine exists and is no directory.", "Choose another destination.");
                }

                if (!options.Force)
                {
                    throw new SandboxException(SandboxErrorCode.FileExists, $"{SafeText.Clean(target, 300)} exists on this machine.");
                }
            }

            Directory.CreateDirectory(Path.GetDirectoryName(target) ?? target);
            return target;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw LocalFiles.Translate(fault, destination);
        }
    }

    private static async Task DownloadFileAsync(ISandboxConnection connection, string source, SandboxFile info, string target, TransferOptions options, CancellationToken cancellationToken)
    {
        var temporary = LocalFiles.TemporaryBeside(target);
        try
        {
            var content = await connection.Files.OpenReadAsync(source, cancellationToken).ConfigureAwait(false);
            await using (content.ConfigureAwait(false))
            {
                // Exclusively, so that nobody's link is followed; for the user alone, until it is whole.
                var how = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None, BufferSize = 0 };
                if (!OperatingSystem.IsWindows())
                {
                    how.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
                }

                var meter = new TransferMeter(options, info.Name, info.Size);
                using (var file = new FileStream(temporary, how))
                {
                    await CopyAsync(content, file, meter, cancellationToken).ConfigureAwait(false);
                    if (!OperatingSystem.IsWindows())
                    {
                        File.SetUnixFileMode(file.SafeFileHandle, info.Mode & LocalFiles.PermissionBits);
                    }
                }

                meter.Finish();
            }

            File.Move(temporary, target, overwrite: options.Force);
        }
        catch (Exception fault)
        {
            File.Delete(temporary);
            if (fault is IOException or UnauthorizedAccessException)
            {
                throw LocalFiles.Translate(fault, target);
            }

            throw;
        }
    }

    private static async Task CopyAsync(Stream source, FileStream target, TransferMeter meter, CancellationToken cancellationToken)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            int read;
            while ((read = await source.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
            {
                // Into the page cache: an asynchronous write would only be this on another thread.
                RandomAccess.Write(target.SafeFileHandle, buffer.AsSpan(0, read), target.Position);
                target.Position += read;
                meter.Add(read);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
