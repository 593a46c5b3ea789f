namespace DoSandbox.PowerShell.Pipeline;

/// <summary>
/// Standard input that comes from the pipeline: the pipeline thread adds, the command reads. Input that is complete soon is handed over as a
/// whole, which costs one request; more, or slower, is streamed. Bounded: a command that reads slowly slows the pipeline.
/// </summary>
internal sealed class PipelineInput : Stream
{
    private const int MaxBuffered = 1024 * 1024;
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(200);

    private readonly object _lock = new();
    private MemoryStream _buffer = new();
    private ReadOnlyMemory<byte> _current;
    private TaskCompletionSource _readable = NewSignal();
    private TaskCompletionSource _writable = NewSignal();
    private bool _complete;
    private bool _closed;

    public override bool CanRead => true;
    public override bool CanSeek => false;
    public override bool CanWrite => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    /// <summary>Adds a piece; complete when there is room for more, or when nobody reads any more.</summary>
    public async Task AddAsync(ReadOnlyMemory<byte> piece, CancellationToken cancellationToken)
    {
        Task room;
        lock (_lock)
        {
            if (_closed || piece.Length == 0)
            {
                return;
            }

            _buffer.Write(piece.Span);
            if (_buffer.Length < MaxBuffered)
            {
                _readable.TrySetResult();
                return;
            }

            _writable = NewSignal();
            _readable.TrySetResult();
            room = _writable.Task;
        }

        await room.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Nothing more comes.</summary>
    public void Complete()
    {
        lock (_lock)
        {
            _complete = true;
            _readable.TrySetResult();
        }
    }

    /// <summary>Nobody reads any more: what is added from now on is dropped, as a program's input is once it ended.</summary>
    public void CloseReading()
    {
        lock (_lock)
        {
            _closed = true;
            _buffer = new MemoryStream();
            _writable.TrySetResult();
        }
    }

    /// <summary>All of the input when it is complete soon and small, else this stream.</summary>
    public async Task<Stream> OpenAsync(CancellationToken cancellationToken)
    {
        var patience = Task.Delay(Patience, cancellationToken);
        while (true)
        {
            Task changed;
            lock (_lock)
            {
                if (_complete)
                {
                    return new MemoryStream(_buffer.GetBuffer(), 0, (int)_buffer.Length, writable: false);
                }

                if (patience.IsCompleted || _buffer.Length >= MaxBuffered)
                {
                    return this;
                }

                if (_readable.Task.IsCompleted)
                {
                    _readable = NewSignal();
                }

                changed = _readable.Task;
            }

            await Task.WhenAny(changed, patience).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (_current.Length == 0)
        {
            Task more;
            lock (_lock)
            {
                if (_buffer.Length > 0)
                {
                    _current = _buffer.GetBuffer().AsMemory(0, (int)_buffer.Length);
                    _buffer = new MemoryStream();
                    _writable.TrySetResult();
                    break;
                }

                if (_complete || _closed)
                {
                    return 0;
                }

                if (_readable.Task.IsCompleted)
                {
                    _readable = NewSignal();
                }

                more = _readable.Task;
            }

            await more.WaitAsync(cancellationToken).ConfigureAwait(false);
        }

        var count = Math.Min(buffer.Length, _current.Length);
        _current.Span[..count].CopyTo(buffer.Span);
        _current = _current[count..];
        return count;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) =>
        ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
