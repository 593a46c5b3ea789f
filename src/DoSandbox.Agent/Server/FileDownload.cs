using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using DoSandbox.Agent.Files;
using DoSandbox.Agent.Native;
using DoSandbox.Wire.Execd;
using Microsoft.AspNetCore.Http;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Server;

/// <summary><c>GET /files/download</c>: a file, a range of its bytes or some of its lines.</summary>
internal sealed class FileDownload(PathExpander paths)
{
    // With chunked encoding around it, it still fits a pooled buffer of 256 KiB.
    private const int Chunk = 256 * 1024 - 256;

    public async Task SendAsync(HttpContext context)
    {
        var path = FileSystem.Encode(paths.Expand(context, Messages.RequiredQuery(context, "path")));
        var offset = Messages.NumberQuery(context, "offset");
        var limit = Messages.NumberQuery(context, "limit");
        var range = context.Request.Headers.Range.ToString();
        if (offset < 1 || limit < 1)
        {
            throw RequestException.Invalid("The offset and the limit count lines from 1.");
        }

        using var file = FileSystem.OpenRegular(path, out var info);
        if (offset is null && limit is null)
        {
            await SendBytesAsync(context, file, path, (long)info.Size, range).ConfigureAwait(false);
        }
        else if (range.Length > 0)
        {
            throw RequestException.Invalid("A range of bytes and a range of lines exclude each other.");
        }
        else
        {
            context.Response.ContentType = "text/plain; charset=utf-8";
            await SendLinesAsync(context, file, offset ?? 1, limit ?? long.MaxValue).ConfigureAwait(false);
        }
    }

    private static async Task SendBytesAsync(HttpContext context, SafeFileHandle file, byte[] path, long size, string range)
    {
        var (start, length) = (0L, size);
        if (range.Length > 0 && size > 0)
        {
            if (ParseRange(range, size) is not { } part)
            {
                context.Response.Headers.ContentRange = $"bytes */{size.ToString(CultureInfo.InvariantCulture)}";
                await Messages.WriteAsync(context, new ErrorBody { Code = ExecdErrorCodes.Unknown }, ExecdJson.Default.ErrorBody, 416).ConfigureAwait(false);
                return;
            }

            (start, length) = part;
            context.Response.StatusCode = StatusCodes.Status206PartialContent;
            context.Response.Headers.ContentRange =
                string.Create(CultureInfo.InvariantCulture, $"bytes {start}-{start + length - 1}/{size}");
        }

        context.Response.ContentType = "application/octet-stream";
        context.Response.Headers.AcceptRanges = "bytes";
        context.Response.Headers.ContentDisposition = Disposition(FileNames.Show(FileNames.Last(path)));

        // Files of /proc say that they are empty and are not.
        var untilEnd = size == 0;
        if (!untilEnd || ReadAt(file, 0, new byte[1]) == 0)
        {
            context.Response.ContentLength = length;
        }

        if (HttpMethods.IsHead(context.Request.Method))
        {
            return;
        }

        var writer = context.Response.BodyWriter;
        for (var left = untilEnd ? long.MaxValue : length; left > 0;)
        {
            var most = (int)Math.Min(left, Chunk);
            var count = ReadAt(file, start, writer.GetSpan(most)[..most]);
            if (count == 0)
            {
                if (!untilEnd)
                {
                    // The file became shorter than what was promised.
                    context.Abort();
                }

                return;
            }

            writer.Advance(count);
            start += count;
            left -= count;
            if ((await writer.FlushAsync(context.RequestAborted).ConfigureAwait(false)).IsCompleted)
            {
                return;
            }
        }
    }

    /// <summary>Lines joined by line feeds, without terminators and without one at the end; of any length.</summary>
    private static async Task SendLinesAsync(HttpContext context, SafeFileHandle file, long first, long count)
    {
        var writer = context.Response.BodyWriter;
        var buffer = ArrayPool<byte>.Shared.Rent(Chunk);
        try
        {
            var lines = new LineWindow(writer, first, count);
            for (long position = 0; !lines.Done;)
            {
                var size = ReadAt(file, position, buffer);
                if (size == 0)
                {
                    break;
                }

                position += size;
                lines.Add(buffer.AsSpan(0, size));
                if (writer.UnflushedBytes > 0
                    && (await writer.FlushAsync(context.RequestAborted).ConfigureAwait(false)).IsCompleted)
                {
                    return;
                }
            }

            lines.Finish();
            await writer.FlushAsync(context.RequestAborted).ConfigureAwait(false);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>The first range that the file has; null when the header is malformed or names none.</summary>
    private static (long Start, long Length)? ParseRange(string header, long size)
    {
        const string Unit = "bytes=";
        if (!header.StartsWith(Unit, StringComparison.Ordinal))
        {
            return null;
        }

        (long, long)? result = null;
        foreach (var part in header[Unit.Length..].Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var dash = part.IndexOf('-');
            if (dash < 0)
            {
                return null;
            }

            long start, end;
            if (dash == 0)
            {
                if (!Parse(part[1..], out var suffix))
                {
                    return null;
                }

                (start, end) = (size - Math.Min(suffix, size), size - 1);
            }
            else if (!Parse(part[..dash], out start))
            {
                return null;
            }
            else if (dash == part.Length - 1)
            {
                end = size - 1;
            }
            else if (!Parse(part[(dash + 1)..], out end) || end < start)
            {
                return null;
            }

            if (start < size)
            {
                result ??= (start, Math.Min(end, size - 1) - start + 1);
            }
        }

        return result;

        static bool Parse(string text, out long value) =>
            long.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out value);
    }

    /// <summary>A name in a header: whatever is not plain ASCII is percent-encoded, so that no name can break out of it.</summary>
    private static string Disposition(string name)
    {
        if (name.All(c => c is >= ' ' and < (char)127 and not '"' and not '\\'))
        {
            return $"attachment; filename=\"{name}\"";
        }

        var encoded = Uri.EscapeDataString(name);
        return $"attachment; filename=\"{encoded}\"; filename*=UTF-8''{encoded}";
    }

    private static unsafe int ReadAt(SafeFileHandle file, long position, Span<byte> buffer)
    {
        fixed (byte* start = buffer)
        {
            while (true)
            {
                var count = Libc.PRead(file, start, (nuint)buffer.Length, position);
                if (count >= 0)
                {
                    return (int)count;
                }

                if (Libc.LastError != Libc.EINTR)
                {
                    throw LinuxException.Last("Cannot read the file");
                }
            }
        }
    }

    private sealed class LineWindow(PipeWriter writer, long first, long count)
    {
        private long _line = 1;
        private long _written;
        private bool _heldReturn;
        private bool _inLine;

        public bool Done => _line - first >= count;

        public void Add(ReadOnlySpan<byte> data)
        {
            while (!data.IsEmpty && !Done)
            {
                var end = data.IndexOf((byte)'\n');
                Write(end < 0 ? data : data[..end], ends: end >= 0);
                if (end < 0)
                {
                    return;
                }

                _line++;
                data = data[(end + 1)..];
            }
        }

        /// <summary>A carriage return at the very end of the file ends no line.</summary>
        public void Finish()
        {
            if (_heldReturn && !Done)
            {
                writer.Write("\r"u8);
            }
        }

        private void Write(ReadOnlySpan<byte> text, bool ends)
        {
            if (_line < first)
            {
                return;
            }

            if (!_inLine)
            {
                if (_written++ > 0)
                {
                    writer.Write("\n"u8);
                }

                _inLine = true;
            }

            if (_heldReturn && !text.IsEmpty)
            {
                writer.Write("\r"u8);
            }

            if (!text.IsEmpty)
            {
                _heldReturn = text[^1] == '\r';
                writer.Write(_heldReturn ? text[..^1] : text);
            }

            if (ends)
            {
                _heldReturn = false;
                _inLine = false;
            }
        }
    }
}
