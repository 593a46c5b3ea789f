using System.Runtime.InteropServices;
using System.Text;

namespace DoSandbox.Agent.Native;

/// <summary>
/// An environment kept as the bytes that the kernel handed over, so that values that are not UTF-8 pass unchanged.
/// It stays in native memory for the life of the process; a spawn adds its own variables on top.
/// </summary>
internal sealed unsafe class EnvironmentBlock
{
    private readonly List<(string Name, nint Entry)> _entries = [];

    private EnvironmentBlock()
    {
    }

    /// <summary>No variables.</summary>
    public static EnvironmentBlock Empty { get; } = new();

    /// <summary>
    /// The environment this process was started with. Call it before the process is made undumpable:
    /// afterwards its own /proc/self/environ is closed to it.
    /// </summary>
    public static EnvironmentBlock OfThisProcess()
    {
        var result = new EnvironmentBlock();
        ReadOnlySpan<byte> rest = File.ReadAllBytes("/proc/self/environ");
        while (!rest.IsEmpty)
        {
            var end = rest.IndexOf((byte)0);
            var entry = end < 0 ? rest : rest[..end];
            rest = end < 0 ? default : rest[(end + 1)..];
            var equals = entry.IndexOf((byte)'=');
            if (equals <= 0)
            {
                continue;
            }

            var copy = (byte*)NativeMemory.AllocZeroed((nuint)entry.Length + 1);
            entry.CopyTo(new Span<byte>(copy, entry.Length));
            result._entries.Add((Encoding.UTF8.GetString(entry[..equals]), (nint)copy));
        }

        return result;
    }

    /// <summary>The value of a variable, or null.</summary>
    public string? Get(string name)
    {
        foreach (var (key, entry) in _entries)
        {
            if (key == name)
            {
                return Marshal.PtrToStringUTF8(entry)![(key.Length + 1)..];
            }
        }

        return null;
    }

    /// <summary>The environment without one variable: a secret that children must not see.</summary>
    public EnvironmentBlock Without(string name)
    {
        var result = new EnvironmentBlock();
        result._entries.AddRange(_entries.Where(entry => entry.Name != name));
        return result;
    }

    /// <summary>The array for a spawn: this environment, with <paramref name="changes"/> on top.</summary>
    public byte** With(IReadOnlyCollection<KeyValuePair<string, string>>? changes, NativeText memory)
    {
        var count = 0;
        var result = memory.AddArray(_entries.Count + (changes?.Count ?? 0));
        HashSet<string>? changed = changes is { Count: > 0 } ? [.. changes.Select(change => change.Key)] : null;
        foreach (var (name, entry) in _entries)
        {
            if (changed?.Contains(name) != true)
            {
                result[count++] = (byte*)entry;
            }
        }

        foreach (var (name, value) in changes ?? [])
        {
            if (name.Length == 0 || name.Contains('='))
            {
                throw new ArgumentException("The name of an environment variable is neither empty nor holds '='.", nameof(changes));
            }

            result[count++] = memory.Add($"{name}={value}");
        }

        return result;
    }
}
