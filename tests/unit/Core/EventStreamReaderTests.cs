using System.Text;
using System.Text.Json;
using DoSandbox.Connections.Execd;
using DoSandbox.Wire.Execd;
using FsCheck;
using FsCheck.Fluent;

namespace DoSandbox.UnitTests.Core;

public sealed class EventStreamReaderTests
{
    [Fact]
    public void Events_bare_or_behind_data_come_out_of_any_pieces()
    {
        var one = from text in ArbMap.Default.GeneratorFor<string>()
                  from form in Gen.Choose(0, 4)
                  select (Text: text ?? "", Form: form);
        var cases = from events in Gen.ListOf(one)
                    from sizes in Gen.NonEmptyListOf(Gen.Choose(1, 60))
                    select (Events: events.ToList(), Sizes: sizes.ToArray());
        Prop.ForAll(cases.ToArbitrary(), given =>
        {
            var stream = new StringBuilder();
            foreach (var (text, form) in given.Events)
            {
                var json = JsonSerializer.Serialize(new StreamEvent { Type = "stdout", Text = text, Timestamp = 1 }, ExecdJson.Default.StreamEvent);
                stream.Append(form switch
                {
                    0 => $"{json}\n\n",
                    1 => $"data: {json}\n\n",
                    2 => $"data:{json}\r\n\r\n",
                    3 => $": comment\nevent: stdout\nid: 7\nretry: 10\ndata: {json}\n\n",
                    _ => $"{json}\n",
                });
            }

            var reader = new EventStreamReader(new ChunkedStream(Encoding.UTF8.GetBytes(stream.ToString()), given.Sizes));
            // An unpaired surrogate cannot stand in JSON: what the serializer wrote is what is expected.
            return given.Events.All(sent => Next(reader)?.Text == Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(sent.Text))) && Next(reader) is null;
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void A_last_event_needs_no_line_end()
    {
        var reader = new EventStreamReader(new ChunkedStream("""{"code":"RUNTIME_ERROR","message":"timeout"}"""u8.ToArray(), 1));
        Assert.Equal("timeout", Next(reader)?.Message);
        Assert.Null(Next(reader));
    }

    [Fact]
    public void What_is_no_json_is_refused()
    {
        var reader = new EventStreamReader(new ChunkedStream("<html>\n"u8.ToArray()));
        Assert.Throws<JsonException>(() => Next(reader));
    }

    [Fact]
    public void A_line_longer_than_the_buffer_is_one_event()
    {
        var text = new string('x', 3_000_000);
        var reader = new EventStreamReader(new ChunkedStream(Encoding.UTF8.GetBytes($"{{\"type\":\"stdout\",\"text\":\"{text}\"}}\n\n{{\"type\":\"ping\"}}\n\n"), 70_001));
        Assert.Equal(text.Length, Next(reader)?.Text?.Length);
        Assert.Equal("ping", Next(reader)?.Type);
    }

    private static StreamEvent? Next(EventStreamReader reader) => reader.ReadAsync(CancellationToken.None).AsTask().GetAwaiter().GetResult();
}
