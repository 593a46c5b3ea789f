using System.Buffers.Text;
using System.Text;

namespace DoSandbox.Files.Archives;

/// <summary>What an archive's entry is.</summary>
internal enum TarEntryKind
{
    File,
    Directory,
    SymbolicLink,
    HardLink,

    /// <summary>A device, a pipe, or something of no use here.</summary>
    Other,
}

/// <summary>An entry of an archive.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="Name">Its path as the archive has it; bytes that are no UTF-8 as \xHH.</param>
/// <param name="LinkTarget">Of a link; else empty.</param>
/// <param name="Size">Bytes of data that follow.</param>
/// <param name="Mode">Permission bits, setuid and the like included.</param>
/// <param name="ModifiedAt">When it was last written.</param>
/// <param name="IsExactName">False when the name or the target is no UTF-8.</param>
internal sealed record TarEntry(TarEntryKind Kind, string Name, string LinkTarget, long Size, UnixFileMode Mode, DateTimeOffset ModifiedAt, bool IsExactName);

/// <summary>
/// The tar format, as far as GNU tar, busybox and libarchive agree on it. System.Formats.Tar is not used because an archive comes from a
/// sandbox that is not trusted (it believes any length of an extended header), because on .NET 8 it knows no files over 8 GiB in GNU
/// archives, and because busybox passes over the extended headers by which it writes long names.
/// </summary>
internal static class TarFormat
{
    public const int Block = 512;
    public const byte File = (byte)'0';
    public const byte OldFile = 0;
    public const byte HardLink = (byte)'1';
    public const byte SymbolicLink = (byte)'2';
    public const byte CharacterDevice = (byte)'3';
    public const byte BlockDevice = (byte)'4';
    public const byte Directory = (byte)'5';
    public const byte Fifo = (byte)'6';
    public const byte ContiguousFile = (byte)'7';
    public const byte Sparse = (byte)'S';
    public const byte LongName = (byte)'L';
    public const byte LongLink = (byte)'K';
    public const byte Extended = (byte)'x';
    public const byte GlobalExtended = (byte)'g';

    /// <summary>From the end of data to the next block.</summary>
    public static int Padding(long size) => (int)((Block - (size % Block)) % Block);

    /// <summary>The sum over a header whose own field counts as spaces.</summary>
    public static int Checksum(ReadOnlySpan<byte> header)
    {
        var sum = 0;
        for (var i = 0; i < Block; i++)
        {
            sum += i is >= 148 and < 156 ? ' ' : header[i];
        }

        return sum;
    }

    /// <summary>A number in octal digits or, where they do not do, in GNU's base 256.</summary>
    /// <exception cref="InvalidDataException">It is none, or negative.</exception>
    public static long ReadNumber(ReadOnlySpan<byte> field)
    {
        if ((field[0] & 0x80) != 0)
        {
            var value = (long)(field[0] & 0x7f);
            foreach (var digit in field[1..])
            {
                value = value >> 55 == 0 ? (value << 8) | digit : throw new InvalidDataException("A number of an archive is out of bounds.");
            }

            return value;
        }

        var digits = field.Trim(" \0"u8);
        var end = digits.IndexOfAny((byte)0, (byte)' ');
        digits = end >= 0 ? digits[..end] : digits;
        var number = 0L;
        foreach (var digit in digits)
        {
            number = digit is >= (byte)'0' and <= (byte)'7' ? (number << 3) | (uint)(digit - '0') : throw new InvalidDataException("A number of an archive is none.");
        }

        return number;
    }

    /// <summary>Writes a number so that it ends with a NUL, or in base 256 where it is too large for that.</summary>
    public static void WriteNumber(Span<byte> field, long value)
    {
        if (value >> ((field.Length - 1) * 3) == 0)
        {
            for (var i = field.Length - 2; i >= 0; i--, value >>= 3)
            {
                field[i] = (byte)('0' + (value & 7));
            }

            field[^1] = 0;
            return;
        }

        for (var i = field.Length - 1; i > 0; i--, value >>= 8)
        {
            field[i] = (byte)value;
        }

        field[0] = 0x80;
    }

    /// <summary>The text of a field up to its first NUL; every byte that is no UTF-8 as \xHH, and whether there was none.</summary>
    public static (string Text, bool IsExact) ReadText(ReadOnlySpan<byte> field)
    {
        var end = field.IndexOf((byte)0);
        field = end >= 0 ? field[..end] : field;
        var builder = new StringBuilder(field.Length);
        var exact = true;
        Span<char> chars = stackalloc char[2];
        while (!field.IsEmpty)
        {
            if (Rune.DecodeFromUtf8(field, out var rune, out var used) == System.Buffers.OperationStatus.Done)
            {
                builder.Append(chars[..rune.EncodeToUtf16(chars)]);
            }
            else
            {
                exact = false;
                for (var i = 0; i < used; i++)
                {
                    builder.Append(@"\x").Append(field[i].ToString("x2", System.Globalization.CultureInfo.InvariantCulture));
                }
            }

            field = field[used..];
        }

        return (builder.ToString(), exact);
    }

    /// <summary>The records of an extended header that are of use here.</summary>
    /// <exception cref="InvalidDataException">A record is malformed.</exception>
    public static void ReadRecords(ReadOnlySpan<byte> records, ref byte[]? name, ref byte[]? link, ref long? size, ref DateTimeOffset? modifiedAt)
    {
        while (!records.IsEmpty)
        {
            if (!Utf8Parser.TryParse(records, out int length, out var used) || length <= used + 1 || length > records.Length
                || records[used] != ' ' || records[length - 1] != '\n')
            {
                throw new InvalidDataException("An extended header of an archive is malformed.");
            }

            var record = records[(used + 1)..(length - 1)];
            records = records[length..];
            var equals = record.IndexOf((byte)'=');
            if (equals < 1)
            {
                throw new InvalidDataException("An extended header of an archive is malformed.");
            }

            var key = record[..equals];
            var value = record[(equals + 1)..];
            if (key.SequenceEqual("path"u8) || key.SequenceEqual("linkpath"u8))
            {
                if (value.Contains((byte)0))
                {
                    throw new InvalidDataException("A name of an archive holds a NUL.");
                }

                _ = key.Length == 4 ? name = value.ToArray() : link = value.ToArray();
            }
            else if (key.SequenceEqual("size"u8))
            {
                size = Utf8Parser.TryParse(value, out long bytes, out var all) && all == value.Length && bytes >= 0
                    ? bytes
                    : throw new InvalidDataException("A size of an archive is none.");
            }
            else if (key.SequenceEqual("mtime"u8))
            {
                modifiedAt = Utf8Parser.TryParse(value, out double seconds, out _) ? ToTime(seconds) : null;
            }
            else if (key.StartsWith("GNU.sparse."u8))
            {
                throw new InvalidDataException("The archive holds a sparse file in a form that is not supported.");
            }
        }
    }

    /// <summary>A time within what a file system takes.</summary>
    public static DateTimeOffset ToTime(double seconds) =>
        DateTimeOffset.UnixEpoch.AddSeconds(double.IsFinite(seconds) ? Math.Clamp(seconds, 0, 253_402_300_799d) : 0);
}
