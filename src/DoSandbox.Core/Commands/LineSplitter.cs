using System.Text;

namespace DoSandbox.Commands;

/// <summary>
/// Cuts one stream of bytes into lines of text: UTF-8 across any split, every invalid byte as U+FFFD, each line without its "\n" or "\r\n".
/// A line longer than <see cref="MaxLine"/> is handed out in pieces.
/// </summary>
public sealed class LineSplitter
{
    /// <summary>Most bytes of a line that are held back for its end.</summary>
    public const int MaxLine = 1024 * 1024;

    private byte[] _held = [];
    private int _length;

    /// <summary>Takes the next line out of <paramref name="data"/>, which shrinks; what belongs to an unfinished line is kept for the next call.</summary>
    /// <returns>False when no further line is whole; <paramref name="data"/> is then empty.</returns>
    public bool TryRead(ref ReadOnlyMemory<byte> data, out string line)
    {
        line = "";
        while (!data.IsEmpty)
        {
            var span = data.Span;
            var room = MaxLine - _length;
            var end = span[..Math.Min(span.Length, room + 1)].IndexOf((byte)'\n');
            if (end >= 0)
            {
                line = Take(span[..end], trimReturn: true);
                data = data[(end + 1)..];
                return true;
            }

            if (span.Length <= room)
            {
                Hold(span);
                data = default;
                return false;
            }

            // Too long: a piece that ends between two characters.
            Hold(span[..room]);
            data = data[room..];
            var cut = _length - IncompleteTail(_held.AsSpan(0, _length));
            if (_held[cut - 1] == '\r')
            {
                cut--;
            }

            line = Encoding.UTF8.GetString(_held.AsSpan(0, cut));
            _held.AsSpan(cut, _length - cut).CopyTo(_held);
            _length -= cut;
            return true;
        }

        return false;
    }

    /// <summary>The last line when it has no end; null when nothing is left.</summary>
    public string? Finish()
    {
        if (_length == 0)
        {
            return null;
        }

        var line = Take(default, trimReturn: false);
        _held = [];
        return line;
    }

    private string Take(ReadOnlySpan<byte> last, bool trimReturn)
    {
        if (_length > 0)
        {
            Hold(last);
            last = _held.AsSpan(0, _length);
            _length = 0;
        }

        return Encoding.UTF8.GetString(trimReturn && last.EndsWith("\r"u8) ? last[..^1] : last);
    }

    private void Hold(ReadOnlySpan<byte> data)
    {
        if (_held.Length < _length + data.Length)
        {
            Array.Resize(ref _held, Math.Max(_length + data.Length, Math.Min(_held.Length * 2, MaxLine)));
        }

        data.CopyTo(_held.AsSpan(_length));
        _length += data.Length;
    }

    // How many bytes at the end begin a character that is not there whole.
    private static int IncompleteTail(ReadOnlySpan<byte> data)
    {
        for (var back = 1; back <= Math.Min(3, data.Length); back++)
        {
            var value = data[^back];
            if (value < 0x80)
            {
                return 0;
            }

            if (value >= 0xc0)
            {
                var wanted = value >= 0xf0 ? 4 : value >= 0xe0 ? 3 : 2;
                return wanted > back ? back : 0;
            }
        }

        return 0;
    }
}
