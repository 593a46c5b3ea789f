using System.Buffers;
using DoSandbox.Errors;

namespace DoSandbox.Files.Archives;

/// <summary>Unpacks an archive that comes from a sandbox.</summary>
internal static class TarExtractor
{
    /// <summary>Unpacks up to the end mark into <paramref name="tree"/>.</summary>
    /// <exception cref="SandboxException">UnsafeArchive: it is none, or it tries to leave the tree.</exception>
    /// <exception cref="EndOfStreamException">It is cut short.</exception>
    public static async Task ExtractAsync(Stream archive, StagedTree tree, TransferOptions options, TransferMeter meter, CancellationToken cancellationToken)
    {
        using var reader = new TarStreamReader(archive);
        var buffer = ArrayPool<byte>.Shared.Rent(256 * 1024);
        try
        {
            while (await reader.NextAsync(cancellationToken).ConfigureAwait(false) is { } entry)
            {
                if (!entry.IsExactName)
                {
                    options.Warning?.Invoke($"The name of '{SafeText.Clean(entry.Name, 300)}' is no UTF-8 in the sandbox: the bytes that are none stand here as \\xHH.");
                }

                switch (entry.Kind)
                {
                    case TarEntryKind.Directory:
                        tree.AddDirectory(entry.Name, entry.Mode);
                        break;
                    case TarEntryKind.SymbolicLink:
                        tree.AddLink(entry.Name, entry.LinkTarget);
                        break;
                    case TarEntryKind.HardLink:
                        tree.AddHardLink(entry.Name, entry.LinkTarget);
                        break;
                    case TarEntryKind.File:
                        await ExtractFileAsync(reader, entry, tree, meter, buffer, cancellationToken).ConfigureAwait(false);
                        break;
                    default:
                        options.Warning?.Invoke($"'{SafeText.Clean(entry.Name, 300)}' was left out: it is no file, directory or link.");
                        break;
                }
            }
        }
        catch (InvalidDataException damaged)
        {
            throw new SandboxException(SandboxErrorCode.UnsafeArchive, $"The archive that the sandbox sent is refused: {damaged.Message}", null, damaged);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static async Task ExtractFileAsync(TarStreamReader reader, TarEntry entry, StagedTree tree, TransferMeter meter, byte[] buffer, CancellationToken cancellationToken)
    {
        string path;
        using (var file = tree.AddFile(entry.Name, entry.Mode))
        {
            path = file.Name;
            int read;
            while ((read = await reader.ReadDataAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
            {
                Write(file, buffer.AsSpan(0, read));
                meter.Add(read);
            }
        }

        File.SetLastWriteTimeUtc(path, entry.ModifiedAt.UtcDateTime);
    }

    // Into the page cache: an asynchronous write would only be this on another thread.
    private static void Write(FileStream file, ReadOnlySpan<byte> data)
    {
        try
        {
            file.Write(data);
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw LocalFiles.Translate(fault, file.Name);
        }
    }
}
