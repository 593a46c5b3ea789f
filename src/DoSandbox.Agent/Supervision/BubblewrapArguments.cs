using System.Text;

namespace DoSandbox.Agent.Supervision;

/// <summary>bubblewrap's arguments in the order in which it carries them out. They go in by a memory file: its command line is readable inside.</summary>
internal sealed class BubblewrapArguments
{
    private readonly List<string> _arguments = [];

    /// <summary>Adds options as they are.</summary>
    public void Add(params ReadOnlySpan<string> arguments) => _arguments.AddRange(arguments);

    /// <summary>Shows a file or folder of the host, read-only.</summary>
    public void ReadOnly(string source, string target) => Add("--ro-bind", source, target);

    /// <summary>Likewise where it exists.</summary>
    public void ReadOnlyIfThere(string source, string target) => Add("--ro-bind-try", source, target);

    /// <summary>Makes a symbolic link.</summary>
    public void Link(string target, string link) => Add("--symlink", target, link);

    /// <summary>The arguments as --args reads them, each ended by a NUL.</summary>
    public byte[] ToBytes()
    {
        var size = 0;
        foreach (var argument in _arguments)
        {
            size += Encoding.UTF8.GetByteCount(argument) + 1;
        }

        var bytes = new byte[size];
        var offset = 0;
        foreach (var argument in _arguments)
        {
            offset += Encoding.UTF8.GetBytes(argument, bytes.AsSpan(offset)) + 1;
        }

        return bytes;
    }
}
