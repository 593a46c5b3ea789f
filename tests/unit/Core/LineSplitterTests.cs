using System.Text;
using DoSandbox.Commands;
using FsCheck;
using FsCheck.Fluent;

namespace DoSandbox.UnitTests.Core;

public sealed class LineSplitterTests
{
    [Fact]
    public void Any_bytes_in_any_pieces_give_the_lines_of_the_whole()
    {
        var piece = Gen.Frequency(
            (3, Gen.Elements("\n"u8.ToArray(), "\r\n"u8.ToArray(), "\r"u8.ToArray(), "\r\r\n"u8.ToArray(), "\0"u8.ToArray())),
            (3, Gen.Elements("ä"u8.ToArray(), "€"u8.ToArray(), "😀"u8.ToArray(), "a"u8.ToArray())),
            (1, Gen.Elements(new byte[] { 0xff }, [0xe2, 0x82], [0xf0, 0x9f], [0x80], [0xc3])),
            (1, Gen.Choose(0, 300).Select(length => Encoding.UTF8.GetBytes(new string('z', length)))));
        var cases = from pieces in Gen.ListOf(piece)
                    from sizes in Gen.NonEmptyListOf(Gen.Choose(1, 9))
                    select (Bytes: pieces.SelectMany(bytes => bytes).ToArray(), Sizes: sizes.ToArray());
        Prop.ForAll(cases.ToArbitrary(), given => Split(given.Bytes, given.Sizes).SequenceEqual(Expected(given.Bytes), StringComparer.Ordinal)).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void A_line_without_end_comes_in_pieces_that_break_no_character()
    {
        var text = string.Concat(Enumerable.Repeat("a€😀ä", 400_000));
        var lines = Split(Encoding.UTF8.GetBytes(text + "\nlast"), [65_536]);
        Assert.Equal("last", lines[^1]);
        Assert.Equal(text, string.Concat(lines.SkipLast(1)));
        Assert.All(lines, line => Assert.True(Encoding.UTF8.GetByteCount(line) <= LineSplitter.MaxLine));
    }

    [Theory]
    [InlineData(LineSplitter.MaxLine)]
    [InlineData(LineSplitter.MaxLine - 1)]
    public void A_line_just_short_enough_is_one(int length)
    {
        var lines = Split(Encoding.UTF8.GetBytes(new string('x', length) + "\ny\n"), [100_000]);
        Assert.Equal([length, 1], lines.Select(line => line.Length));
    }

    private static List<string> Split(byte[] bytes, int[] sizes)
    {
        var splitter = new LineSplitter();
        var lines = new List<string>();
        for (var (at, turn) = (0, 0); at < bytes.Length; turn++)
        {
            var length = Math.Min(sizes[turn % sizes.Length], bytes.Length - at);
            ReadOnlyMemory<byte> data = bytes.AsSpan(at, length).ToArray();
            while (splitter.TryRead(ref data, out var line))
            {
                lines.Add(line);
            }

            Assert.True(data.IsEmpty);
            at += length;
        }

        if (splitter.Finish() is { } last)
        {
            lines.Add(last);
        }

        return lines;
    }

    private static List<string> Expected(byte[] bytes)
    {
        var lines = new List<string>();
        while (bytes.Length > 0)
        {
            var end = Array.IndexOf(bytes, (byte)'\n');
            var line = end < 0 ? bytes : bytes[..end];
            lines.Add(Encoding.UTF8.GetString(end > 0 && line[^1] == '\r' ? line[..^1] : line));
            bytes = end < 0 ? [] : bytes[(end + 1)..];
        }

        return lines;
    }
}
