namespace DoSandbox.Agent.Server;

/// <summary>Takes the text of one line or piece of a line.</summary>
internal delegate void LineHandler(ReadOnlySpan<byte> line);

/// <summary>
/// Cuts a stream into lines as execd does: a line feed or a carriage return ends one, both together end one only, and a
/// blank line is told as a line feed.
/// </summary>
internal sealed class LineSplitter(LineHandler handler)
{
    private byte[] _partial = [];
    private int _length;
    private bool _afterReturn;
    private bool _afterPiece;

    public void Add(ReadOnlySpan<byte> data)
    {
        while (!data.IsEmpty)
        {
            var end = data.IndexOfAny((byte)'\n', (byte)'\r');
            if (end < 0)
            {
                Keep(data);
                return;
            }

            EndLine(data[..end], data[end]);
            data = data[(end + 1)..];
        }
    }

    /// <summary>The stream is over: hands on what has no terminator.</summary>
    public void Finish()
    {
        if (_length > 0)
        {
            handler(_partial.AsSpan(0, _length));
            _length = 0;
        }
    }

    private void EndLine(ReadOnlySpan<byte> line, byte terminator)
    {
        if (_length == 0 && line.Length > 0 && line.Length <= EventSink.MaxPiece)
        {
            handler(line);
        }
        else if (_length + line.Length > 0)
        {
            Keep(line);
            Finish();
        }
        else if (!_afterPiece && !(terminator == '\n' && _afterReturn))
        {
            handler("\n"u8);
        }

        _afterPiece = false;
        _afterReturn = terminator == '\r';
    }

    private void Keep(ReadOnlySpan<byte> data)
    {
        if (data.IsEmpty)
        {
            return;
        }

        _afterReturn = false;
        while (_length + data.Length > EventSink.MaxPiece)
        {
            var room = EventSink.MaxPiece - _length;
            Append(data[..room]);
            data = data[room..];
            var whole = WholeCharacters(_partial.AsSpan(0, _length));
            handler(_partial.AsSpan(0, whole));
            _partial.AsSpan(whole, _length - whole).CopyTo(_partial);
            _length -= whole;
            _afterPiece = true;
        }

        Append(data);
    }

    private void Append(ReadOnlySpan<byte> data)
    {
        if (_partial.Length < _length + data.Length)
        {
            Array.Resize(ref _partial, Math.Min(EventSink.MaxPiece, Math.Max(256, 2 * (_length + data.Length))));
        }

        data.CopyTo(_partial.AsSpan(_length));
        _length += data.Length;
    }

    /// <summary>The length without a UTF-8 sequence that is cut at the end.</summary>
    private static int WholeCharacters(ReadOnlySpan<byte> text)
    {
        for (var back = 1; back <= Math.Min(3, text.Length - 1); back++)
        {
            var value = text[^back];
            if ((value & 0xC0) == 0x80)
            {
                continue;
            }

            var size = value >= 0xF0 ? 4 : value >= 0xE0 ? 3 : value >= 0xC0 ? 2 : 1;
            return size > back ? text.Length - back : text.Length;
        }

        return text.Length;
    }
}
