using System.Buffers;
using System.Runtime.InteropServices;

namespace DoSandbox.Commands;

/// <summary>Bytes that grow by pieces, so that growing copies nothing. To be disposed of: large pieces are no memory of the collector.</summary>
internal sealed class OutputBuffer : IDisposable
{
    private const int FirstPiece = 4 * 1024;
    private const int LargestPooled = 1024 * 1024;

    // So large that the system's allocator neither touches it before it is written nor keeps it when it is given back.
    private const int NativePiece = 64 * 1024 * 1024;

    private readonly List<Piece> _full = [];
    private Piece? _last;
    private int _used;

    public long Length { get; private set; }

    public void Append(ReadOnlySpan<byte> data)
    {
        while (!data.IsEmpty)
        {
            if (_last is null || _used == _last.Size)
            {
                var next = Length >= 2 * LargestPooled ? new Piece() : new Piece(Math.Clamp((int)Length, FirstPiece, LargestPooled));
                if (_last is not null)
                {
                    _full.Add(_last);
                }

                (_last, _used) = (next, 0);
            }

            var length = Math.Min(data.Length, _last.Size - _used);
            data[..length].CopyTo(_last.Span[_used..]);
            _used += length;
            Length += length;
            data = data[length..];
        }
    }

    /// <summary>All of it. Each piece is given back once it is copied, so that large output is not held twice; the buffer is empty then.</summary>
    public byte[] Take()
    {
        if (Length == 0)
        {
            return [];
        }

        var all = GC.AllocateUninitializedArray<byte>(checked((int)Length));
        var position = 0;
        foreach (var piece in _full)
        {
            piece.Span.CopyTo(all.AsSpan(position));
            position += piece.Size;
            piece.Free();
        }

        _last!.Span[.._used].CopyTo(all.AsSpan(position));
        Free();
        return all;
    }

    public void Dispose() => Free();

    private void Free()
    {
        _full.ForEach(static piece => piece.Free());
        _last?.Free();
        _full.Clear();
        (_last, _used, Length) = (null, 0, 0);
    }

    /// <summary>Memory of the pool, or of the system.</summary>
    private sealed unsafe class Piece
    {
        private byte[]? _pooled;
        private void* _native;

        public Piece()
        {
            _native = NativeMemory.Alloc(NativePiece);
            Size = NativePiece;
        }

        public Piece(int size)
        {
            _pooled = ArrayPool<byte>.Shared.Rent(size);
            Size = _pooled.Length;
        }

        public int Size { get; }

        public Span<byte> Span => _pooled is null ? new Span<byte>(_native, _native is null ? 0 : Size) : _pooled;

        public void Free()
        {
            if (_pooled is not null)
            {
                ArrayPool<byte>.Shared.Return(_pooled);
                _pooled = null;
            }

            NativeMemory.Free(_native);
            _native = null;
        }
    }
}
