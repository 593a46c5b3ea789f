using System.Buffers;
using System.Threading.Channels;

namespace DoSandbox.Files.Archives;

/// <summary>What one side writes the other reads, a few large blocks in between. A fault of the writer is the reader's too.</summary>
internal sealed class BlockPipe
{
    private const int BlockSize = 256 * 1024;

    private readonly Channel<(byte[] Block, int Length)> _blocks = Channel.CreateBounded<(byte[], int)>(
        new BoundedChannelOptions(4) { SingleReader = true, SingleWriter = true });

    public BlockPipe()
    {
        Writer = new WriteEnd(this);
        Reader = new ReadEnd(this);
    }

    /// <summary>To write to; it is complete with <see cref="CompleteAsync"/>.</summary>
    public Stream Writer { get; }

    /// <summary>To read from, to the end.</summary>
    public Stream Reader { get; }

    /// <summary>Nothing more comes: the end of the stream, or the fault that reading then throws.</summary>
    public async Task CompleteAsync(Exception? fault, CancellationToken cancellationToken)
    {
        if (fault is null)
        {
            await Writer.FlushAsync(cancellationToken).ConfigureAwait(false);
        }

        _blocks.Writer.TryComplete(fault);
    }

    private abstract class End : Stream
    {
        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("Only asynchronous use.");

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException("Only asynchronous use.");

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }

    private sealed class WriteEnd(BlockPipe pipe) : End
    {
        private byte[]? _block;
        private int _length;

        public override bool CanWrite => true;

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            while (!buffer.IsEmpty)
            {
                _block ??= ArrayPool<byte>.Shared.Rent(BlockSize);
                var length = Math.Min(buffer.Length, BlockSize - _length);
                buffer[..length].CopyTo(_block.AsMemory(_length));
                _length += length;
                buffer = buffer[length..];
                if (_length == BlockSize)
                {
                    await FlushAsync(cancellationToken).ConfigureAwait(false);
                }
            }
        }

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override async Task FlushAsync(CancellationToken cancellationToken)
        {
            if (_block is { } block && _length > 0)
            {
                var length = _length;
                (_block, _length) = (null, 0);
                await pipe._blocks.Writer.WriteAsync((block, length), cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private sealed class ReadEnd(BlockPipe pipe) : End
    {
        private byte[] _block = [];
        private int _start;
        private int _end;

        public override bool CanRead => true;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            if (_start == _end)
            {
                if (_block.Length > 0)
                {
                    ArrayPool<byte>.Shared.Return(_block);
                    _block = [];
                }

                (_start, _end) = (0, 0);
                if (!await pipe._blocks.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false) || !pipe._blocks.Reader.TryRead(out var next))
                {
                    return 0;
                }

                (_block, _end) = next;
            }

            var length = Math.Min(buffer.Length, _end - _start);
            _block.AsMemory(_start, length).CopyTo(buffer);
            _start += length;
            return length;
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();
    }
}
