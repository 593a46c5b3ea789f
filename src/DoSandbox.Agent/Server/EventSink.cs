using System.IO.Pipelines;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;
using DoSandbox.Wire.Execd;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary>
/// The event stream of execd: raw JSON frames with a blank line after each, output line by line without terminators,
/// a blank line as "\n".
/// </summary>
internal sealed class EventSink : OutputSink
{
    /// <summary>A longer line is sent in pieces of about this many bytes.</summary>
    public const int MaxPiece = 64 * 1024;

    private readonly PipeWriter _writer;
    private readonly Utf8JsonWriter _json;
    private readonly LineSplitter _output;
    private readonly LineSplitter _error;
    private byte[] _buffer = [];
    private LineSplitter _current;
    private long _nextPing;

    /// <summary>Makes the answer to a request an event stream.</summary>
    public static EventSink Open(HttpContext context)
    {
        context.Response.ContentType = "text/event-stream";
        context.Response.Headers.CacheControl = "no-cache";
        context.Response.Headers["X-Accel-Buffering"] = "no";
        return new EventSink(context.Response.BodyWriter);
    }

    public EventSink(PipeWriter writer)
    {
        _writer = writer;
        _json = new Utf8JsonWriter(writer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true });
        _output = new LineSplitter(line => WriteText("stdout"u8, line));
        _error = new LineSplitter(line => WriteText("stderr"u8, line));
        _current = _output;
    }

    public override TimeSpan? TickInterval => TimeSpan.FromSeconds(3);

    public override Memory<byte> Reserve(bool error, int size)
    {
        _current = error ? _error : _output;
        if (_buffer.Length < size)
        {
            _buffer = GC.AllocateUninitializedArray<byte>(Math.Max(size, 4096));
        }

        return _buffer;
    }

    public override void Commit(int count) => _current.Add(_buffer.AsSpan(0, count));

    public override async ValueTask<bool> FlushAsync()
    {
        var result = await _writer.FlushAsync().ConfigureAwait(false);
        return !result.IsCompleted && !result.IsCanceled;
    }

    public override bool Tick()
    {
        // Called after every wait, but a ping is due only every three seconds.
        if (Environment.TickCount64 < _nextPing)
        {
            return false;
        }

        WritePing();
        return true;
    }

    public void WriteInit(string id)
    {
        Begin("init"u8);
        _json.WriteString("text"u8, id);
        End();
    }

    public void WritePing()
    {
        _nextPing = Environment.TickCount64 + 2900;
        Begin("ping"u8);
        _json.WriteString("text"u8, "pong"u8);
        End();
    }

    public void WriteComplete(long milliseconds)
    {
        Begin("execution_complete"u8);
        if (milliseconds > 0)
        {
            _json.WriteNumber("execution_time"u8, milliseconds);
        }

        End();
    }

    public void WriteError(string value, string traceback)
    {
        Begin("error"u8);
        WriteTimestamp();
        _json.WriteStartObject("error"u8);
        _json.WriteString("ename"u8, "CommandExecError"u8);
        _json.WriteString("evalue"u8, value);
        _json.WriteStartArray("traceback"u8);
        _json.WriteStringValue(traceback);
        _json.WriteEndArray();
        _json.WriteEndObject();
        EndFrame();
    }

    /// <summary>Last lines that had no end.</summary>
    public void WriteRest()
    {
        _output.Finish();
        _error.Finish();
    }

    private void WriteText(ReadOnlySpan<byte> type, ReadOnlySpan<byte> text)
    {
        Begin(type);
        if (Utf8.IsValid(text))
        {
            _json.WriteString("text"u8, text);
        }
        else
        {
            // JSON holds text only: what is none becomes the replacement character.
            _json.WriteString("text"u8, Encoding.UTF8.GetString(text));
        }

        End();
    }

    private void Begin(ReadOnlySpan<byte> type)
    {
        _json.Reset();
        _json.WriteStartObject();
        _json.WriteString("type"u8, type);
    }

    private void WriteTimestamp() => _json.WriteNumber("timestamp"u8, DateTimeOffset.UtcNow.ToUnixTimeMilliseconds());

    private void End()
    {
        WriteTimestamp();
        EndFrame();
    }

    private void EndFrame()
    {
        _json.WriteEndObject();
        _json.Flush();
        "\n\n"u8.CopyTo(_writer.GetSpan(2));
        _writer.Advance(2);
    }
}
