using System.Buffers;
using System.Text;

namespace DoSandbox.Agent.Files;

/// <summary>
/// Reads a multipart/form-data body part by part without keeping more of it than one buffer: the content comes in large
/// pieces, found by a vectorised search for the boundary.
/// </summary>
internal sealed class MultipartReader : IDisposable
{
    private const int BufferSize = 512 * 1024;
    private const int MaxHeaders = 16 * 1024;
    private const int MaxBoundary = 256;

    // Less than this is not worth a write of its own while more is on its way.
    private const int WorthAPiece = 256 * 1024;

    private readonly Stream _body;
    private readonly byte[] _delimiter;
    private readonly byte[] _buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
    private int _start;
    private int _end;
    private bool _ended;

    /// <param name="body">The body of the request.</param>
    /// <param name="contentType">Its content type, which names the boundary.</param>
    /// <exception cref="InvalidDataException">The content type names none.</exception>
    public MultipartReader(Stream body, string? contentType)
    {
        _body = body;
        _delimiter = Encoding.Latin1.GetBytes("\r\n--" + FindBoundary(contentType));

        // The first delimiter has no line before it: with one put there all are alike.
        _buffer[0] = (byte)'\r';
        _buffer[1] = (byte)'\n';
        _end = 2;
    }

    /// <summary>Goes to the next part, skipping what is left of the current one.</summary>
    /// <returns>The name of its form field, or null after the last part.</returns>
    /// <exception cref="InvalidDataException">The body is malformed or ends too early.</exception>
    public async ValueTask<string?> NextAsync(CancellationToken cancellation)
    {
        while (!(await ReadAsync(cancellation).ConfigureAwait(false)).IsEmpty)
        {
        }

        _start += _delimiter.Length;
        await FillAsync(2, cancellation).ConfigureAwait(false);
        if (_buffer.AsSpan(_start, 2).SequenceEqual("--"u8))
        {
            return null;
        }

        string? name = null;
        for (var first = true; ; first = false)
        {
            var line = await ReadLineAsync(cancellation).ConfigureAwait(false);
            if (first)
            {
                // The rest of the delimiter's own line: nothing but blanks.
                continue;
            }

            if (line.Length == 0)
            {
                return name ?? throw new InvalidDataException("A part of the form has no name.");
            }

            if (line.StartsWith("content-disposition:", StringComparison.OrdinalIgnoreCase))
            {
                name = FindParameter(line, "name");
            }
        }
    }

    /// <summary>The next piece of the current part's content, valid until the next call; empty at its end.</summary>
    /// <exception cref="InvalidDataException">The body ends too early.</exception>
    public async ValueTask<ReadOnlyMemory<byte>> ReadAsync(CancellationToken cancellation)
    {
        while (true)
        {
            var found = _buffer.AsSpan(_start, _end - _start).IndexOf(_delimiter);
            if (found >= 0)
            {
                var piece = _buffer.AsMemory(_start, found);
                _start += found;
                return piece;
            }

            var safe = _end - _start - (_delimiter.Length - 1);
            if (safe >= WorthAPiece || (_ended && safe > 0))
            {
                var piece = _buffer.AsMemory(_start, safe);
                _start += safe;
                return piece;
            }

            if (_ended)
            {
                throw new InvalidDataException("The form ends in the middle of a part.");
            }

            await ReadMoreAsync(cancellation).ConfigureAwait(false);
        }
    }

    public void Dispose() => ArrayPool<byte>.Shared.Return(_buffer);

    private async ValueTask ReadMoreAsync(CancellationToken cancellation)
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            _end -= _start;
            _start = 0;
        }

        // Until there is a good piece: the transport hands over small ones.
        do
        {
            var count = await _body.ReadAsync(_buffer.AsMemory(_end), cancellation).ConfigureAwait(false);
            _ended = count == 0;
            _end += count;
            var unseen = Math.Max(_start, _end - count - _delimiter.Length + 1);
            if (_buffer.AsSpan(unseen, _end - unseen).IndexOf(_delimiter) >= 0)
            {
                return;
            }
        }
        while (!_ended && _end < WorthAPiece + _delimiter.Length);
    }

    private async ValueTask FillAsync(int count, CancellationToken cancellation)
    {
        while (_end - _start < count)
        {
            if (_ended)
            {
                throw new InvalidDataException("The form ends too early.");
            }

            await ReadMoreAsync(cancellation).ConfigureAwait(false);
        }
    }

    private async ValueTask<string> ReadLineAsync(CancellationToken cancellation)
    {
        while (true)
        {
            var length = _buffer.AsSpan(_start, _end - _start).IndexOf("\r\n"u8);
            if (length > MaxHeaders || (length < 0 && _end - _start > MaxHeaders))
            {
                throw new InvalidDataException("A header of the form is too long.");
            }

            if (length >= 0)
            {
                var line = Encoding.UTF8.GetString(_buffer, _start, length);
                _start += length + 2;
                return line;
            }

            await FillAsync(_end - _start + 1, cancellation).ConfigureAwait(false);
        }
    }

    private static string FindBoundary(string? contentType)
    {
        if (contentType?.StartsWith("multipart/form-data", StringComparison.OrdinalIgnoreCase) != true)
        {
            throw new InvalidDataException("The body is no multipart form.");
        }

        var boundary = FindParameter(contentType, "boundary");
        return boundary?.Length is > 0 and <= MaxBoundary ? boundary : throw new InvalidDataException("The form has no usable boundary.");
    }

    /// <summary>A parameter of a header, quoted or not.</summary>
    private static string? FindParameter(string header, string name)
    {
        for (var i = header.IndexOf(';'); i >= 0 && i < header.Length;)
        {
            i++;
            while (i < header.Length && header[i] is ' ' or '\t')
            {
                i++;
            }

            var equals = header.IndexOf('=', i);
            if (equals < 0)
            {
                return null;
            }

            var key = header[i..equals].Trim();
            var value = new StringBuilder();
            i = equals + 1;
            if (i < header.Length && header[i] == '"')
            {
                for (i++; i < header.Length && header[i] != '"'; i++)
                {
                    if (header[i] == '\\' && i + 1 < header.Length)
                    {
                        i++;
                    }

                    value.Append(header[i]);
                }

                i = header.IndexOf(';', Math.Min(i, header.Length));
            }
            else
            {
                var end = header.IndexOf(';', i);
                value.Append(end < 0 ? header.AsSpan(i) : header.AsSpan(i, end - i));
                i = end;
            }

            if (key.Equals(name, StringComparison.OrdinalIgnoreCase))
            {
                return value.ToString().Trim();
            }
        }

        return null;
    }
}
