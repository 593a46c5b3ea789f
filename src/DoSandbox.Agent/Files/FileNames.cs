using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace DoSandbox.Agent.Files;

/// <summary>Names between text and bytes. Byte arrays end with a zero, as the kernel wants them.</summary>
internal static class FileNames
{
    public static byte[] ToBytes(string path)
    {
        var result = new byte[Encoding.UTF8.GetByteCount(path) + 1];
        Encoding.UTF8.GetBytes(path, result);
        return result;
    }

    /// <summary>A name as text; bytes that are no UTF-8 as \xNN.</summary>
    public static string Show(ReadOnlySpan<byte> name)
    {
        name = name.TrimEnd((byte)0);
        if (Utf8.IsValid(name))
        {
            return Encoding.UTF8.GetString(name);
        }

        var result = new StringBuilder(name.Length + 16);
        while (!name.IsEmpty)
        {
            if (Rune.DecodeFromUtf8(name, out var rune, out var used) == System.Buffers.OperationStatus.Done)
            {
                result.Append(rune.ToString());
                name = name[used..];
            }
            else
            {
                result.Append(CultureInfo.InvariantCulture, $"\\x{name[0]:x2}");
                name = name[1..];
            }
        }

        return result.ToString();
    }

    /// <summary>The bytes of a name shown with escapes; null when there is no escape of a byte above 7f in it.</summary>
    public static byte[]? Unescape(string path)
    {
        var text = ToBytes(path);
        var length = 0;
        var found = false;
        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] == '\\' && i + 3 < text.Length && text[i + 1] == 'x'
                && byte.TryParse(text.AsSpan(i + 2, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var value) && value >= 0x80)
            {
                text[length++] = value;
                i += 3;
                found = true;
            }
            else
            {
                text[length++] = text[i];
            }
        }

        return found ? text[..length] : null;
    }

    /// <summary>A child's path.</summary>
    public static byte[] Join(ReadOnlySpan<byte> directory, ReadOnlySpan<byte> name)
    {
        directory = directory.TrimEnd((byte)0).TrimEnd((byte)'/');
        name = name.TrimEnd((byte)0);
        var result = new byte[directory.Length + 1 + name.Length + 1];
        directory.CopyTo(result);
        result[directory.Length] = (byte)'/';
        name.CopyTo(result.AsSpan(directory.Length + 1));
        return result;
    }

    /// <summary>The directory that holds an absolute path.</summary>
    public static byte[] Parent(ReadOnlySpan<byte> path)
    {
        path = path.TrimEnd((byte)0);
        var slash = path.LastIndexOf((byte)'/');
        return [.. slash <= 0 ? "/"u8 : path[..slash], 0];
    }

    /// <summary>The last part of an absolute path, without the zero.</summary>
    public static ReadOnlySpan<byte> Last(ReadOnlySpan<byte> path)
    {
        path = path.TrimEnd((byte)0);
        return path[(path.LastIndexOf((byte)'/') + 1)..];
    }
}
