using System.Buffers;
using DoSandbox.Errors;

namespace DoSandbox.Files;

/// <summary>Content whose length can be relied on. What /proc, /sys and some file systems tell of a file's size is not what it holds.</summary>
internal static class ExactContent
{
    /// <summary>Up to this size a file is read before its length is told: pages of /sys are no larger.</summary>
    private const int Small = 64 * 1024;

    /// <summary>Most bytes that are set aside of a file that does not tell its size.</summary>
    private const long MaxSetAside = 1024L * 1024 * 1024;

    /// <summary>The rest of a stream: one that can seek has the length that it tells, one that cannot is to be read to its end.</summary>
    /// <param name="source">Stays the caller's, who disposes of it after the result.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public static async ValueTask<Stream> OfAsync(Stream source, CancellationToken cancellationToken)
    {
        if (source is MemoryStream || !source.CanSeek || source.Length - source.Position is var told && told > Small)
        {
            return source;
        }

        var head = new byte[Math.Max(told, 4095) + 1];
        var length = await source.ReadAtLeastAsync(head, head.Length, throwOnEndOfStream: false, cancellationToken).ConfigureAwait(false);
        return length < head.Length ? new MemoryStream(head, 0, length, writable: false) : new HeadedStream(head, source);
    }

    /// <summary>A stream that can seek with the same content: itself, or a copy in a temporary file that goes with it.</summary>
    /// <exception cref="SandboxException">LimitExceeded: it holds more than may be set aside.</exception>
    public static async ValueTask<Stream> SetAsideAsync(Stream source, CancellationToken cancellationToken)
    {
        if (source.CanSeek)
        {
            return source;
        }

        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.ReadWrite, Share = FileShare.None, Options = FileOptions.DeleteOnClose, BufferSize = 0 };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        var file = new FileStream(Path.Combine(Path.GetTempPath(), $".dosandbox-{Guid.NewGuid():N}"), options);
        var buffer = ArrayPool<byte>.Shared.Rent(Small);
        try
        {
            int read;
            while ((read = await source.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
            {
                if (file.Length + read > MaxSetAside)
                {
                    throw new SandboxException(SandboxErrorCode.LimitExceeded, $"A file in the directory does not tell its size and holds more than {MaxSetAside} bytes.",
                        "Copy it to an ordinary file first, or send it by itself.");
                }

                await file.WriteAsync(buffer.AsMemory(0, read), cancellationToken).ConfigureAwait(false);
            }

            file.Position = 0;
            return file;
        }
        catch
        {
            await file.DisposeAsync().ConfigureAwait(false);
            throw;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>What was read already, then the rest.</summary>
    private sealed class HeadedStream(byte[] head, Stream rest) : Stream
    {
        private int _position;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var length = TakeHead(buffer.Span);
            return length > 0 || buffer.IsEmpty ? ValueTask.FromResult(length) : rest.ReadAsync(buffer, cancellationToken);
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override int Read(byte[] buffer, int offset, int count)
        {
            var length = TakeHead(buffer.AsSpan(offset, count));
            return length > 0 || count == 0 ? length : rest.Read(buffer, offset, count);
        }

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        private int TakeHead(Span<byte> buffer)
        {
            var length = Math.Min(buffer.Length, head.Length - _position);
            head.AsSpan(_position, length).CopyTo(buffer);
            _position += length;
            return length;
        }
    }
}
