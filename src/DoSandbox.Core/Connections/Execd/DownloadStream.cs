using DoSandbox.Errors;

namespace DoSandbox.Connections.Execd;

/// <summary>The body of a download: it throws where it is cut short or stands still, and never just ends.</summary>
internal sealed class DownloadStream : Stream
{
    private readonly ExecdHttp _http;
    private readonly HttpResponseMessage _response;
    private readonly Stream _body;
    private readonly StallLimit _limit;
    private readonly string _what;
    private readonly long? _length;
    private long _position;

    public DownloadStream(ExecdHttp http, HttpResponseMessage response, Stream body, TimeSpan stall, string what)
    {
        _http = http;
        _response = response;
        _body = body;
        _limit = new StallLimit(stall, CancellationToken.None);
        _limit.Pause();
        _what = what;
        _length = response.Content.Headers.ContentLength;
    }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    /// <summary>The length that the agent announced.</summary>
    public override long Length => _length ?? throw new NotSupportedException();

    public override long Position
    {
        get => _position;
        set => throw new NotSupportedException();
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        try
        {
            _limit.Moved();
            int read;
            using (cancellationToken.UnsafeRegister(static body => ((DownloadStream)body!)._response.Dispose(), this))
            {
                read = await _body.ReadAsync(buffer, _limit.Token).ConfigureAwait(false);
            }

            _limit.Pause();
            _position += read;
            return read > 0 || buffer.IsEmpty || _length is null || _position == _length
                ? read
                : throw new EndOfStreamException();
        }
        catch (Exception fault)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw await _http.ExplainAsync(fault, $"Could not {_what} to its end", SandboxErrorCode.Network).ConfigureAwait(false);
        }
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) =>
        ReadAsync(buffer.AsMemory(offset, count), CancellationToken.None).AsTask().GetAwaiter().GetResult();

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _response.Dispose();
            _limit.Dispose();
        }

        base.Dispose(disposing);
    }
}
