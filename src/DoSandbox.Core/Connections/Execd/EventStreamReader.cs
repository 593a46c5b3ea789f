using System.Text.Json;
using DoSandbox.Wire.Execd;

namespace DoSandbox.Connections.Execd;

/// <summary>
/// Reads execd's event stream: one JSON object a line, bare (as execd sends it) or behind <c>data:</c> (as its specification says).
/// Empty lines, comments and other fields of an event are passed over.
/// </summary>
internal sealed class EventStreamReader
{
    /// <summary>Most bytes of one event. execd puts a whole line of output into one.</summary>
    public const int MaxEvent = 64 * 1024 * 1024;

    private readonly Stream _source;
    private byte[] _buffer = new byte[64 * 1024];
    private int _start;
    private int _searched;
    private int _end;

    public EventStreamReader(Stream source)
    {
        _source = source;
    }

    /// <summary>The next event; null at the end of the stream.</summary>
    /// <exception cref="JsonException">An event is no JSON.</exception>
    /// <exception cref="InvalidDataException">An event is larger than <see cref="MaxEvent"/>.</exception>
    public async ValueTask<StreamEvent?> ReadAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var found = _buffer.AsSpan(_searched, _end - _searched).IndexOf((byte)'\n');
            if (found >= 0)
            {
                var line = _buffer.AsMemory(_start, _searched + found - _start);
                _start = _searched = _searched + found + 1;
                if (Parse(line.Span) is { } parsed)
                {
                    return parsed;
                }

                continue;
            }

            _searched = _end;
            MakeRoom();
            var read = await _source.ReadAsync(_buffer.AsMemory(_end), cancellationToken).ConfigureAwait(false);
            if (read == 0)
            {
                var last = _buffer.AsMemory(_start, _end - _start);
                _start = _searched = _end;
                return Parse(last.Span);
            }

            _end += read;
        }
    }

    private static StreamEvent? Parse(ReadOnlySpan<byte> line)
    {
        line = line.Trim(" \t\r"u8);
        if (line.StartsWith("data:"u8))
        {
            line = line[5..].Trim(" \t"u8);
        }
        else if (line.StartsWith("event:"u8) || line.StartsWith("id:"u8) || line.StartsWith("retry:"u8) || line.StartsWith(":"u8))
        {
            return null;
        }

        return line.IsEmpty ? null : JsonSerializer.Deserialize(line, ExecdJson.Default.StreamEvent);
    }

    private void MakeRoom()
    {
        if (_start == _end)
        {
            _start = _searched = _end = 0;
        }
        else if (_end == _buffer.Length && _start > 0)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
            (_searched, _end, _start) = (_searched - _start, _end - _start, 0);
        }
        else if (_end == _buffer.Length)
        {
            if (_buffer.Length >= MaxEvent)
            {
                throw new InvalidDataException($"An event is larger than {MaxEvent} bytes.");
            }

            Array.Resize(ref _buffer, Math.Min(_buffer.Length * 2, MaxEvent));
        }
    }
}
