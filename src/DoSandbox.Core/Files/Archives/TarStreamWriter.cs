using System.Buffers;
using System.Text;
using DoSandbox.Errors;

namespace DoSandbox.Files.Archives;

/// <summary>Writes an archive that GNU tar, busybox and libarchive read alike.</summary>
internal sealed class TarStreamWriter
{
    private readonly Stream _target;
    private readonly byte[] _header = new byte[TarFormat.Block];

    public TarStreamWriter(Stream target)
    {
        _target = target;
    }

    /// <summary>A directory.</summary>
    public Task WriteDirectoryAsync(string name, UnixFileMode mode, DateTimeOffset modifiedAt, CancellationToken cancellationToken) =>
        WriteHeaderAsync(TarFormat.Directory, name + "/", "", 0, mode, modifiedAt, cancellationToken);

    /// <summary>A link, its target as it is.</summary>
    public Task WriteLinkAsync(string name, string target, DateTimeOffset modifiedAt, CancellationToken cancellationToken) =>
        WriteHeaderAsync(TarFormat.SymbolicLink, name, target, 0, (UnixFileMode)0x1ff, modifiedAt, cancellationToken);

    /// <summary>A file, exactly <paramref name="size"/> bytes of it.</summary>
    /// <exception cref="SandboxException">IntegrityMismatch: it became shorter.</exception>
    public async Task WriteFileAsync(string name, Stream content, long size, UnixFileMode mode, DateTimeOffset modifiedAt, Action<int>? written,
        CancellationToken cancellationToken)
    {
        await WriteHeaderAsync(TarFormat.File, name, "", size, mode, modifiedAt, cancellationToken).ConfigureAwait(false);
        var buffer = ArrayPool<byte>.Shared.Rent((int)Math.Clamp(size, 4096, 256 * 1024));
        try
        {
            for (var left = size; left > 0;)
            {
                var read = await content.ReadAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, left)), cancellationToken).ConfigureAwait(false);
                if (read == 0)
                {
                    throw new SandboxException(SandboxErrorCode.IntegrityMismatch, $"'{SafeText.Clean(name, 300)}' became shorter while it was sent.");
                }

                await _target.WriteAsync(buffer.AsMemory(0, read), cancellationToken).ConfigureAwait(false);
                left -= read;
                written?.Invoke(read);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        await PadAsync(size, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The end mark.</summary>
    public async Task FinishAsync(CancellationToken cancellationToken)
    {
        _header.AsSpan().Clear();
        await _target.WriteAsync(_header, cancellationToken).ConfigureAwait(false);
        await _target.WriteAsync(_header, cancellationToken).ConfigureAwait(false);
    }

    private async Task WriteHeaderAsync(byte type, string name, string link, long size, UnixFileMode mode, DateTimeOffset modifiedAt, CancellationToken cancellationToken)
    {
        var (nameBytes, linkBytes) = (Encoding.UTF8.GetBytes(name), Encoding.UTF8.GetBytes(link));
        if (linkBytes.Length > 100)
        {
            await WriteLongAsync(TarFormat.LongLink, linkBytes, cancellationToken).ConfigureAwait(false);
        }

        if (nameBytes.Length > 100)
        {
            await WriteLongAsync(TarFormat.LongName, nameBytes, cancellationToken).ConfigureAwait(false);
        }

        Compose(type, nameBytes, linkBytes, size, mode, modifiedAt);
        await _target.WriteAsync(_header, cancellationToken).ConfigureAwait(false);
    }

    private async Task WriteLongAsync(byte type, byte[] text, CancellationToken cancellationToken)
    {
        Compose(type, "././@LongLink"u8, default, text.Length + 1, UnixFileMode.None, DateTimeOffset.UnixEpoch);
        await _target.WriteAsync(_header, cancellationToken).ConfigureAwait(false);
        await _target.WriteAsync(text, cancellationToken).ConfigureAwait(false);
        await _target.WriteAsync(new byte[1], cancellationToken).ConfigureAwait(false);
        await PadAsync(text.Length + 1, cancellationToken).ConfigureAwait(false);
    }

    private async Task PadAsync(long size, CancellationToken cancellationToken)
    {
        if (TarFormat.Padding(size) is > 0 and var padding)
        {
            await _target.WriteAsync(new byte[padding], cancellationToken).ConfigureAwait(false);
        }
    }

    private void Compose(byte type, ReadOnlySpan<byte> name, ReadOnlySpan<byte> link, long size, UnixFileMode mode, DateTimeOffset modifiedAt)
    {
        var header = _header.AsSpan();
        header.Clear();
        name[..Math.Min(name.Length, 100)].CopyTo(header);
        TarFormat.WriteNumber(header.Slice(100, 8), (int)mode);
        TarFormat.WriteNumber(header.Slice(108, 8), 0);
        TarFormat.WriteNumber(header.Slice(116, 8), 0);
        TarFormat.WriteNumber(header.Slice(124, 12), size);
        TarFormat.WriteNumber(header.Slice(136, 12), Math.Max(0, modifiedAt.ToUnixTimeSeconds()));
        header[156] = type;
        link[..Math.Min(link.Length, 100)].CopyTo(header[157..]);
        "ustar  \0"u8.CopyTo(header[257..]);
        TarFormat.WriteNumber(header.Slice(148, 7), TarFormat.Checksum(header));
        header[155] = (byte)' ';
    }
}
