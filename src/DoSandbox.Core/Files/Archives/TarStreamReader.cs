using System.Buffers;

namespace DoSandbox.Files.Archives;

/// <summary>Reads an archive from a stream that cannot seek and is not trusted: every length is bounded before anything is kept.</summary>
internal sealed class TarStreamReader : IDisposable
{
    /// <summary>Most bytes of a long name or an extended header.</summary>
    public const int MaxMeta = 1024 * 1024;

    private readonly Stream _source;
    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(128 * 1024);
    private int _start;
    private int _end;
    private long _dataLeft;
    private int _padding;

    public TarStreamReader(Stream source)
    {
        _source = source;
    }

    /// <summary>The next entry; null at the end mark. What is left of the entry before is passed over.</summary>
    /// <exception cref="InvalidDataException">It is no archive, or one out of bounds.</exception>
    /// <exception cref="EndOfStreamException">The archive is cut short.</exception>
    public async ValueTask<TarEntry?> NextAsync(CancellationToken cancellationToken)
    {
        byte[]? name = null;
        byte[]? link = null;
        long? size = null;
        DateTimeOffset? modifiedAt = null;
        while (true)
        {
            await SkipAsync(_dataLeft + _padding, cancellationToken).ConfigureAwait(false);
            (_dataLeft, _padding) = (0, 0);
            await FillAsync(TarFormat.Block, cancellationToken).ConfigureAwait(false);
            var header = _buffer.AsMemory(_start, TarFormat.Block);
            _start += TarFormat.Block;
            if (!header.Span.ContainsAnyExcept((byte)0))
            {
                return null;
            }

            if (TarFormat.ReadNumber(header.Span.Slice(148, 8)) != TarFormat.Checksum(header.Span))
            {
                throw new InvalidDataException("The archive is damaged: a header's checksum is wrong.");
            }

            var type = header.Span[156];
            var length = TarFormat.ReadNumber(header.Span.Slice(124, 12));
            if (type is not (TarFormat.LongName or TarFormat.LongLink or TarFormat.Extended or TarFormat.GlobalExtended))
            {
                return Begin(header.Span, type, size ?? length, name, link, modifiedAt);
            }

            if (length > MaxMeta)
            {
                throw new InvalidDataException($"An extended header of {length} bytes is out of bounds.");
            }

            var meta = new byte[length];
            await ReadExactlyAsync(meta, cancellationToken).ConfigureAwait(false);
            await SkipAsync(TarFormat.Padding(length), cancellationToken).ConfigureAwait(false);
            switch (type)
            {
                case TarFormat.LongName:
                    name = meta;
                    break;
                case TarFormat.LongLink:
                    link = meta;
                    break;
                case TarFormat.Extended:
                    TarFormat.ReadRecords(meta, ref name, ref link, ref size, ref modifiedAt);
                    break;
            }
        }
    }

    /// <summary>Data of the current entry; 0 at its end.</summary>
    /// <exception cref="EndOfStreamException">The archive is cut short.</exception>
    public async ValueTask<int> ReadDataAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        if (_dataLeft == 0 || buffer.IsEmpty)
        {
            return 0;
        }

        buffer = buffer.Length > _dataLeft ? buffer[..(int)_dataLeft] : buffer;
        int read;
        if (_start < _end)
        {
            read = Math.Min(buffer.Length, _end - _start);
            _buffer.AsSpan(_start, read).CopyTo(buffer.Span);
            _start += read;
        }
        else
        {
            read = await _source.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
        }

        _dataLeft -= read;
        return read > 0 ? read : throw new EndOfStreamException("The archive is cut short.");
    }

    public void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
    }

    private TarEntry Begin(ReadOnlySpan<byte> header, byte type, long size, byte[]? longName, byte[]? longLink, DateTimeOffset? modifiedAt)
    {
        var (name, nameExact) = TarFormat.ReadText(longName ?? header[..100]);
        // GNU keeps other things where POSIX keeps the beginning of a name.
        if (longName is null && header.Slice(257, 6).SequenceEqual("ustar\0"u8) && header[345] != 0)
        {
            var (prefix, prefixExact) = TarFormat.ReadText(header.Slice(345, 155));
            (name, nameExact) = ($"{prefix}/{name}", nameExact && prefixExact);
        }

        var (link, linkExact) = TarFormat.ReadText(longLink ?? header.Slice(157, 100));
        var kind = type switch
        {
            TarFormat.OldFile when name.EndsWith('/') => TarEntryKind.Directory,
            TarFormat.File or TarFormat.OldFile or TarFormat.ContiguousFile => TarEntryKind.File,
            TarFormat.Directory => TarEntryKind.Directory,
            TarFormat.SymbolicLink => TarEntryKind.SymbolicLink,
            TarFormat.HardLink => TarEntryKind.HardLink,
            TarFormat.Sparse => throw new InvalidDataException("The archive holds a sparse file in a form that is not supported."),
            _ => TarEntryKind.Other,
        };
        if (size != 0 && kind is TarEntryKind.Directory or TarEntryKind.SymbolicLink or TarEntryKind.HardLink)
        {
            throw new InvalidDataException("The archive is damaged: a directory or link has data.");
        }

        (_dataLeft, _padding) = (size, TarFormat.Padding(size));
        return new TarEntry(kind, name, kind is TarEntryKind.SymbolicLink or TarEntryKind.HardLink ? link : "", size,
            (UnixFileMode)(TarFormat.ReadNumber(header.Slice(100, 8)) & 0xfff),
            modifiedAt ?? TarFormat.ToTime(TarFormat.ReadNumber(header.Slice(136, 12))), nameExact && linkExact);
    }

    private async ValueTask ReadExactlyAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        while (!buffer.IsEmpty)
        {
            await FillAsync(1, cancellationToken).ConfigureAwait(false);
            var length = Math.Min(buffer.Length, _end - _start);
            _buffer.AsSpan(_start, length).CopyTo(buffer.Span);
            _start += length;
            buffer = buffer[length..];
        }
    }

    private async ValueTask SkipAsync(long length, CancellationToken cancellationToken)
    {
        while (length > 0)
        {
            await FillAsync(1, cancellationToken).ConfigureAwait(false);
            var step = (int)Math.Min(length, _end - _start);
            _start += step;
            length -= step;
        }
    }

    private async ValueTask FillAsync(int wanted, CancellationToken cancellationToken)
    {
        while (_end - _start < wanted)
        {
            if (_start == _end)
            {
                _start = _end = 0;
            }
            else if (_buffer.Length - _start < wanted)
            {
                _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
                (_start, _end) = (0, _end - _start);
            }

            var read = await _source.ReadAsync(_buffer.AsMemory(_end), cancellationToken).ConfigureAwait(false);
            _end += read > 0 ? read : throw new EndOfStreamException("The archive is cut short.");
        }
    }
}
