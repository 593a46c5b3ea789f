using System.Buffers;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using DoSandbox.Errors;
using DoSandbox.Wire.Execd;

namespace DoSandbox.Connections.Execd;

/// <summary>The two parts of an upload. Both carry a file name, as execd looks for them among the files.</summary>
internal sealed class UploadContent : HttpContent
{
    private const int BufferSize = 512 * 1024;

    private readonly byte[] _head;
    private readonly byte[] _tail;
    private readonly Stream _source;
    private readonly StallLimit _limit;
    private readonly long? _length;

    public UploadContent(FileMetadata metadata, Stream source, StallLimit limit)
    {
        var boundary = Guid.NewGuid().ToString("N");
        _head = Encoding.UTF8.GetBytes(
            $"--{boundary}\r\nContent-Disposition: form-data; name=\"metadata\"; filename=\"metadata\"\r\nContent-Type: application/json\r\n\r\n"
            + JsonSerializer.Serialize(metadata, ExecdJson.Default.FileMetadata)
            + $"\r\n--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\r\nContent-Type: application/octet-stream\r\n\r\n");
        _tail = Encoding.ASCII.GetBytes($"\r\n--{boundary}--\r\n");
        _source = source;
        _limit = limit;
        _length = source.CanSeek ? Math.Max(0, source.Length - source.Position) : null;
        Headers.ContentType = new MediaTypeHeaderValue("multipart/form-data") { Parameters = { new NameValueHeaderValue("boundary", boundary) } };
    }

    /// <summary>What the source threw: that, and not the broken request, is what went wrong.</summary>
    public Exception? SourceFault { get; private set; }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        await stream.WriteAsync(_head, cancellationToken).ConfigureAwait(false);
        var buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
        try
        {
            var left = _length ?? long.MaxValue;
            while (left > 0)
            {
                var read = await ReadSourceAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, left)), cancellationToken).ConfigureAwait(false);
                if (read == 0)
                {
                    break;
                }

                left -= read;
                await stream.WriteAsync(buffer.AsMemory(0, read), cancellationToken).ConfigureAwait(false);
                _limit.Moved();
            }

            if (_length is not null && left > 0)
            {
                SourceFault = new SandboxException(SandboxErrorCode.IntegrityMismatch, "The file became shorter while it was sent.");
                throw SourceFault;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }

        await stream.WriteAsync(_tail, cancellationToken).ConfigureAwait(false);
    }

    protected override bool TryComputeLength(out long length)
    {
        length = _head.Length + _tail.Length + (_length ?? 0);
        return _length is not null;
    }

    private async ValueTask<int> ReadSourceAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        try
        {
            _limit.Pause();
            return await _source.ReadAsync(buffer, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception fault) when (fault is not OperationCanceledException)
        {
            SourceFault = fault;
            throw;
        }
        finally
        {
            _limit.Moved();
        }
    }
}
