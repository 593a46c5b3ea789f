using System.Buffers;

namespace DoSandbox.Commands;

/// <summary>Bytes that grow by pieces, so that growing copies nothing.</summary>
internal sealed class OutputBuffer : IDisposable
{
    private const int FirstPiece = 4 * 1024;
    private const int LargestPiece = 1024 * 1024;

    private readonly List<byte[]> _full = [];
    private byte[] _last = [];
    private int _used;

    public long Length { get; private set; }

    public void Append(ReadOnlySpan<byte> data)
    {
        Length += data.Length;
        while (!data.IsEmpty)
        {
            if (_used == _last.Length)
            {
                if (_used > 0)
                {
                    _full.Add(_last);
                }

                _last = ArrayPool<byte>.Shared.Rent(Math.Clamp(_last.Length * 2, FirstPiece, LargestPiece));
                _used = 0;
            }

            var length = Math.Min(data.Length, _last.Length - _used);
            data[..length].CopyTo(_last.AsSpan(_used));
            _used += length;
            data = data[length..];
        }
    }

    /// <summary>All of it; the pieces are given back.</summary>
    public byte[] ToArray()
    {
        if (Length == 0)
        {
            return [];
        }

        var all = GC.AllocateUninitializedArray<byte>(checked((int)Length));
        var position = 0;
        foreach (var piece in _full)
        {
            piece.CopyTo(all, position);
            position += piece.Length;
        }

        _last.AsSpan(0, _used).CopyTo(all.AsSpan(position));
        return all;
    }

    public void Dispose()
    {
        foreach (var piece in _full)
        {
            ArrayPool<byte>.Shared.Return(piece);
        }

        if (_last.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(_last);
        }

        _full.Clear();
        (_last, _used, Length) = ([], 0, 0);
    }
}
