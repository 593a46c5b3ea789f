using System.Buffers.Binary;

namespace DoSandbox.Wire.Run;

/// <summary>The header of a frame: one type byte, then the payload's length as 4 bytes big-endian.</summary>
public readonly record struct RunFrame(RunFrameType Type, int Length)
{
    public const int HeaderSize = 5;

    /// <summary>Most bytes of one payload. A reader refuses more, so a lying peer cannot make it allocate.</summary>
    public const int MaxPayload = 1024 * 1024;

    /// <summary>Writes the header into the first <see cref="HeaderSize"/> bytes.</summary>
    public static void WriteHeader(Span<byte> destination, RunFrameType type, int length)
    {
        destination[0] = (byte)type;
        BinaryPrimitives.WriteInt32BigEndian(destination[1..], length);
    }

    /// <summary>Reads a header.</summary>
    /// <exception cref="InvalidDataException">The length is negative or over <see cref="MaxPayload"/>, or the type is unknown.</exception>
    public static RunFrame ReadHeader(ReadOnlySpan<byte> source)
    {
        var type = (RunFrameType)source[0];
        var length = BinaryPrimitives.ReadInt32BigEndian(source[1..]);
        if (type is not (RunFrameType.Stdout or RunFrameType.Stderr or RunFrameType.Started or RunFrameType.Exited
            or RunFrameType.Heartbeat or RunFrameType.Failed))
        {
            throw new InvalidDataException($"Unknown frame type 0x{(byte)type:x2}.");
        }

        return length is >= 0 and <= MaxPayload
            ? new RunFrame(type, length)
            : throw new InvalidDataException($"A frame of {length} bytes is out of bounds.");
    }
}
