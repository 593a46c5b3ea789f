using System.Runtime.CompilerServices;
using DoSandbox.Agent.Native;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Files;

/// <summary>The names in a directory, in byte order, kept in two flat arrays: a directory of a million files fits.</summary>
internal sealed unsafe class DirectoryReader
{
    private const int ReadSize = 32 * 1024;

    private byte[] _text = new byte[1024];
    private int _length;
    private readonly List<(int Start, int Length)> _names = [];

    private DirectoryReader()
    {
    }

    public int Count => _names.Count;

    /// <summary>A name, without the zero.</summary>
    public ReadOnlySpan<byte> this[int index] => _text.AsSpan(_names[index].Start, _names[index].Length);

    /// <summary>Reads a directory without following a link in its last part.</summary>
    /// <exception cref="LinuxException">It cannot be read.</exception>
    public static DirectoryReader Read(byte[] path)
    {
        using var directory = FileSystem.Open(path, Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_NOFOLLOW);
        return Read(directory);
    }

    /// <summary>Reads an open directory from where it stands.</summary>
    public static DirectoryReader Read(SafeFileHandle directory)
    {
        var result = new DirectoryReader();
        var buffer = stackalloc byte[ReadSize];
        while (true)
        {
            var size = (int)Libc.GetDents(directory, buffer, ReadSize);
            if (size == 0)
            {
                break;
            }

            if (size < 0)
            {
                throw LinuxException.Last("Cannot read a directory");
            }

            for (var offset = 0; offset < size;)
            {
                var entry = Unsafe.ReadUnaligned<Libc.Dirent>(buffer + offset);
                var name = new ReadOnlySpan<byte>(buffer + offset + Libc.Dirent.NameOffset, entry.Length - Libc.Dirent.NameOffset);
                name = name[..name.IndexOf((byte)0)];
                offset += entry.Length;
                if (!name.SequenceEqual("."u8) && !name.SequenceEqual(".."u8))
                {
                    result.Add(name);
                }
            }
        }

        result._names.Sort((a, b) => result._text.AsSpan(a.Start, a.Length).SequenceCompareTo(result._text.AsSpan(b.Start, b.Length)));
        return result;
    }

    private void Add(ReadOnlySpan<byte> name)
    {
        if (_length + name.Length > _text.Length)
        {
            Array.Resize(ref _text, Math.Max(_text.Length * 2, _length + name.Length));
        }

        name.CopyTo(_text.AsSpan(_length));
        _names.Add((_length, name.Length));
        _length += name.Length;
    }
}
