using System.Globalization;
using DoSandbox.Agent.Native;

namespace DoSandbox.Agent.Server;

/// <summary>Questions to the file system that need no open file.</summary>
internal static unsafe class FileSystem
{
    private const int X_OK = 1;

    public static bool IsExecutable(string path)
    {
        using var memory = new NativeText();
        return Libc.Access(memory.Add(path), X_OK) == 0;
    }

    /// <summary>0 when the path is a directory that may be entered, else the error number.</summary>
    public static int CheckDirectory(string path)
    {
        using var memory = new NativeText();
        var text = memory.Add(path);
        Libc.Statx info;
        if (Libc.GetStatx(Libc.AT_FDCWD, text, 0, Libc.STATX_BASIC_STATS, &info) != 0)
        {
            return Libc.LastError;
        }

        if ((info.Mode & Libc.S_IFMT) != Libc.S_IFDIR)
        {
            return Libc.ENOTDIR;
        }

        return Libc.Access(text, X_OK) == 0 ? 0 : Libc.LastError;
    }

    /// <summary>Threads of this process.</summary>
    public static int CountOwnThreads()
    {
        foreach (var line in File.ReadLines("/proc/self/status"))
        {
            if (line.StartsWith("Threads:", StringComparison.Ordinal))
            {
                return int.Parse(line.AsSpan("Threads:".Length), NumberStyles.AllowLeadingWhite, CultureInfo.InvariantCulture);
            }
        }

        return 0;
    }
}
