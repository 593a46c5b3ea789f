using System.Runtime.InteropServices;
using System.Text;

namespace DoSandbox.Agent.Native;

/// <summary>Zero-terminated UTF-8 copies of strings in native memory, freed together.</summary>
internal sealed unsafe class NativeText : IDisposable
{
    private readonly List<nint> _blocks = [];

    /// <summary>Copies a string; the result lives until <see cref="Dispose"/>.</summary>
    /// <exception cref="ArgumentException">The text holds a NUL, which the kernel would take for its end.</exception>
    public byte* Add(string text)
    {
        if (text.Contains('\0'))
        {
            throw new ArgumentException("A NUL character cannot be passed to a program.", nameof(text));
        }

        var size = Encoding.UTF8.GetByteCount(text);
        var block = (byte*)NativeMemory.Alloc((nuint)size + 1);
        _blocks.Add((nint)block);
        Encoding.UTF8.GetBytes(text, new Span<byte>(block, size));
        block[size] = 0;
        return block;
    }

    /// <summary>Room for a zero-terminated array of pointers.</summary>
    public byte** AddArray(int count)
    {
        var block = (byte**)NativeMemory.AllocZeroed((nuint)count + 1, (nuint)sizeof(byte*));
        _blocks.Add((nint)block);
        return block;
    }

    public void Dispose()
    {
        foreach (var block in _blocks)
        {
            NativeMemory.Free((void*)block);
        }

        _blocks.Clear();
    }
}
