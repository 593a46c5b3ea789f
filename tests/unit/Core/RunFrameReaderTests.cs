using DoSandbox.Connections.Execd;
using DoSandbox.Wire.Run;
using FsCheck;
using FsCheck.Fluent;

namespace DoSandbox.UnitTests.Core;

public sealed class RunFrameReaderTests
{
    private static readonly RunFrameType[] Types =
        [RunFrameType.Stdout, RunFrameType.Stderr, RunFrameType.Started, RunFrameType.Exited, RunFrameType.Heartbeat, RunFrameType.Failed];

    [Fact]
    public void Any_frames_in_any_pieces_come_out_as_they_went_in()
    {
        var frame = from type in Gen.Elements(Types)
                    from length in Gen.Frequency((8, Gen.Choose(0, 40)), (2, Gen.Choose(0, 60_000)), (1, Gen.Choose(0, 700_000)))
                    from seed in Gen.Choose(0, 255)
                    select (Type: type, Payload: Payload(type is RunFrameType.Stdout or RunFrameType.Stderr ? length : Math.Min(length, RunFrameReader.MaxControlPayload), seed));
        var cases = from frames in Gen.ListOf(frame)
                    from sizes in Gen.NonEmptyListOf(Gen.Frequency((3, Gen.Choose(1, 7)), (2, Gen.Choose(1, 5000)), (1, Gen.Choose(1, 400_000))))
                    select (Frames: frames.ToList(), Sizes: sizes.ToArray());
        Prop.ForAll(cases.ToArbitrary(), given =>
        {
            var bytes = given.Frames.SelectMany(one => Encode(one.Type, one.Payload)).ToArray();
            using var reader = new RunFrameReader(new ChunkedStream(bytes, given.Sizes));
            foreach (var (type, payload) in given.Frames)
            {
                var got = 0;
                do
                {
                    var piece = Next(reader);
                    if (piece.Type != type || !piece.Data.Span.SequenceEqual(payload.AsSpan(got, Math.Min(piece.Data.Length, payload.Length - got))))
                    {
                        return false;
                    }

                    got += piece.Data.Length;
                }
                while (got < payload.Length);

                if (got != payload.Length)
                {
                    return false;
                }
            }

            return Assert.Throws<EndOfStreamException>(() => Next(reader)) is not null;
        }).QuickCheckThrowOnFailure();
    }

    [Theory]
    [InlineData(new byte[] { 0x00, 0, 0, 0, 0 })]
    [InlineData(new byte[] { 0x14, 0, 0, 0, 0 })]
    [InlineData(new byte[] { 0x01, 0xff, 0xff, 0xff, 0xff })]
    [InlineData(new byte[] { 0x01, 0, 0x10, 0, 1 })]
    [InlineData(new byte[] { 0x11, 0, 1, 0, 1 })]
    public void A_frame_out_of_bounds_is_refused_by_its_header(byte[] header)
    {
        using var reader = new RunFrameReader(new ChunkedStream(header));
        Assert.Throws<InvalidDataException>(() => Next(reader));
    }

    [Fact]
    public void Output_is_handed_out_before_its_frame_is_whole()
    {
        var header = new byte[RunFrame.HeaderSize];
        RunFrame.WriteHeader(header, RunFrameType.Stdout, 1000);
        using var reader = new RunFrameReader(new ChunkedStream([.. header, 1, 2, 3]));
        Assert.Equal(new byte[] { 1, 2, 3 }, Next(reader).Data.ToArray());
        Assert.Throws<EndOfStreamException>(() => Next(reader));
    }

    private static byte[] Payload(int length, int seed)
    {
        var payload = new byte[length];
        new Random(seed).NextBytes(payload);
        return payload;
    }

    private static byte[] Encode(RunFrameType type, byte[] payload)
    {
        var frame = new byte[RunFrame.HeaderSize + payload.Length];
        RunFrame.WriteHeader(frame, type, payload.Length);
        payload.CopyTo(frame, RunFrame.HeaderSize);
        return frame;
    }

    private static RunPiece Next(RunFrameReader reader) => reader.ReadAsync(CancellationToken.None).AsTask().GetAwaiter().GetResult();
}
