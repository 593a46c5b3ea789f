using System.Buffers;
using DoSandbox.Wire.Run;

namespace DoSandbox.Connections.Execd;

/// <summary>A frame, or a part of an output frame.</summary>
/// <param name="Type">The frame's type.</param>
/// <param name="Data">The payload, or the part of an output payload that is there; valid until the next read.</param>
internal readonly record struct RunPiece(RunFrameType Type, ReadOnlyMemory<byte> Data);

/// <summary>
/// Reads frames through one buffer that is used again and again. Output is handed out as it comes, in parts where a frame is larger than
/// what has arrived; every other frame is handed out whole.
/// </summary>
internal sealed class RunFrameReader : IDisposable
{
    /// <summary>Most bytes of a frame that is not output.</summary>
    public const int MaxControlPayload = 64 * 1024;

    private const int BufferSize = 256 * 1024;

    private readonly Stream _source;
    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(BufferSize);
    private int _start;
    private int _end;
    private RunFrameType _outputType;
    private int _outputLeft;

    public RunFrameReader(Stream source)
    {
        _source = source;
    }

    /// <summary>The next piece.</summary>
    /// <exception cref="InvalidDataException">A frame is out of bounds.</exception>
    /// <exception cref="EndOfStreamException">The stream ended.</exception>
    public ValueTask<RunPiece> ReadAsync(CancellationToken cancellationToken) =>
        TryTake(out var piece) ? ValueTask.FromResult(piece) : FillAndReadAsync(cancellationToken);

    /// <summary>Reads on to see that nothing follows, so that the connection can be used again.</summary>
    public async ValueTask<bool> IsAtEndAsync(CancellationToken cancellationToken) =>
        _start == _end && await _source.ReadAsync(_buffer, cancellationToken).ConfigureAwait(false) == 0;

    public void Dispose()
    {
        ArrayPool<byte>.Shared.Return(_buffer);
        _buffer = [];
    }

    private async ValueTask<RunPiece> FillAndReadAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (_start == _end)
            {
                _start = _end = 0;
            }
            else if (_start > 0)
            {
                // What is left here is less than a header or a small control frame.
                _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
                (_start, _end) = (0, _end - _start);
            }

            var read = await _source.ReadAsync(_buffer.AsMemory(_end), cancellationToken).ConfigureAwait(false);
            if (read == 0)
            {
                throw new EndOfStreamException("The stream ended before the command did.");
            }

            _end += read;
            if (TryTake(out var piece))
            {
                return piece;
            }
        }
    }

    private bool TryTake(out RunPiece piece)
    {
        piece = default;
        if (_outputLeft == 0)
        {
            if (_end - _start < RunFrame.HeaderSize)
            {
                return false;
            }

            var frame = RunFrame.ReadHeader(_buffer.AsSpan(_start, RunFrame.HeaderSize));
            if (frame.Type is not (RunFrameType.Stdout or RunFrameType.Stderr))
            {
                if (frame.Length > MaxControlPayload)
                {
                    throw new InvalidDataException($"A frame of type {frame.Type} with {frame.Length} bytes is out of bounds.");
                }

                if (_end - _start < RunFrame.HeaderSize + frame.Length)
                {
                    return false;
                }

                piece = new RunPiece(frame.Type, _buffer.AsMemory(_start + RunFrame.HeaderSize, frame.Length));
                _start += RunFrame.HeaderSize + frame.Length;
                return true;
            }

            _start += RunFrame.HeaderSize;
            (_outputType, _outputLeft) = (frame.Type, frame.Length);
            if (frame.Length == 0)
            {
                piece = new RunPiece(frame.Type, default);
                return true;
            }
        }

        var length = Math.Min(_outputLeft, _end - _start);
        if (length == 0)
        {
            return false;
        }

        piece = new RunPiece(_outputType, _buffer.AsMemory(_start, length));
        _start += length;
        _outputLeft -= length;
        return true;
    }
}
