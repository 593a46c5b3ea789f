using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Native;

/// <summary>
/// Everything that descends from one command: found by descent, by session, by a variable in the environment and by a
/// mark in a resource limit. Each alone has a way out (a double fork, setsid, an emptied environment); together they
/// catch what programs do.
/// </summary>
internal sealed unsafe class ProcessTree
{
    private const int MaxRounds = 200;

    private readonly int _root;
    private readonly byte[] _variable;
    private readonly byte[]? _mark;

    /// <param name="root">The process id, and session, of the command itself.</param>
    /// <param name="variable">NAME=value, found in the environment of its descendants.</param>
    /// <param name="mark">The soft limit of real-time computing (RLIMIT_RTTIME) that its descendants carry, or null.</param>
    public ProcessTree(int root, string variable, ulong? mark)
    {
        _root = root;
        _variable = Encoding.UTF8.GetBytes(variable);
        _mark = mark is { } value ? Encoding.ASCII.GetBytes(value.ToString(CultureInfo.InvariantCulture)) : null;
    }

    /// <summary>
    /// A random value that marks the processes of one command, or null where this process cannot set it. A time limit
    /// for real-time scheduling, which nothing in a sandbox may use, is inherited by every child, costs nothing, and is
    /// readable of every process.
    /// </summary>
    public static ulong? NewMark()
    {
        Libc.RLimit limit;
        return Libc.GetRLimit(Libc.RLIMIT_RTTIME, &limit) == 0 && limit.Hard == Libc.RLIM_INFINITY
            ? (1UL << 62) + (RandomId.NextNumber() >> 2)
            : null;
    }

    /// <summary>Sends a signal to every process of the tree.</summary>
    /// <returns>How many there were.</returns>
    public int Signal(int signal)
    {
        var members = Find();
        foreach (var pid in members)
        {
            _ = Libc.Kill(pid, signal);
        }

        return members.Count;
    }

    /// <summary>
    /// Kills every process of the tree: stops them first, so that none makes new ones unseen, then kills, and looks
    /// again until nothing is left. Blocks the calling thread, at most about 5 seconds.
    /// </summary>
    /// <returns>True when nothing is left.</returns>
    public bool Kill()
    {
        var deadline = Environment.TickCount64 + 5000;
        var stopped = new HashSet<int>();
        for (var round = 0; round < MaxRounds; round++)
        {
            var fresh = 0;
            foreach (var pid in Find())
            {
                if (stopped.Add(pid))
                {
                    fresh++;
                    _ = Libc.Kill(pid, Libc.SIGSTOP);
                }
            }

            if (fresh == 0 || Environment.TickCount64 > deadline)
            {
                break;
            }
        }

        for (var round = 0; round < MaxRounds; round++)
        {
            if (Signal(Libc.SIGKILL) == 0)
            {
                return true;
            }

            if (Environment.TickCount64 > deadline)
            {
                return false;
            }

            Thread.Sleep(round < 5 ? 1 : 10);
        }

        return false;
    }

    /// <summary>The living processes of the tree; dead ones that wait to be reaped do not count.</summary>
    public List<int> Find()
    {
        var self = Libc.GetPid();
        var all = new Dictionary<int, Snapshot>();
        foreach (var directory in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(directory.AsSpan()), NumberStyles.None, CultureInfo.InvariantCulture, out var pid)
                && pid != self && ReadStat(pid) is { } snapshot)
            {
                all[pid] = snapshot;
            }
        }

        var verdicts = new Dictionary<int, bool> { [self] = false };
        var result = new List<int>();
        foreach (var (pid, snapshot) in all)
        {
            if (!snapshot.Dead && IsMember(pid, all, verdicts, 0))
            {
                result.Add(pid);
            }
        }

        return result;
    }

    private bool IsMember(int pid, Dictionary<int, Snapshot> all, Dictionary<int, bool> verdicts, int depth)
    {
        if (verdicts.TryGetValue(pid, out var known))
        {
            return known;
        }

        if (!all.TryGetValue(pid, out var snapshot) || depth > 4096)
        {
            return false;
        }

        var member = pid == _root || snapshot.Session == _root
            || IsMember(snapshot.Parent, all, verdicts, depth + 1)
            || HasMark(pid) || HasVariable(pid);
        verdicts[pid] = member;
        return member;
    }

    private bool HasMark(int pid)
    {
        if (_mark is null)
        {
            return false;
        }

        Span<byte> buffer = stackalloc byte[4096];
        var text = buffer[..ReadProc(pid, "limits", buffer)];
        var line = text.IndexOf("Max realtime timeout"u8);
        if (line < 0)
        {
            return false;
        }

        text = text[(line + "Max realtime timeout"u8.Length)..].TrimStart((byte)' ');
        return text.StartsWith(_mark) && text.Length > _mark.Length && text[_mark.Length] == ' ';
    }

    private bool HasVariable(int pid)
    {
        byte[]? text = null;
        try
        {
            using var file = File.OpenHandle($"/proc/{pid.ToString(CultureInfo.InvariantCulture)}/environ");
            var length = 0;
            text = System.Buffers.ArrayPool<byte>.Shared.Rent(64 * 1024);
            while (true)
            {
                var count = RandomAccess.Read(file, text.AsSpan(length), length);
                if (count == 0)
                {
                    break;
                }

                length += count;
                if (length == text.Length)
                {
                    var larger = System.Buffers.ArrayPool<byte>.Shared.Rent(length * 2);
                    text.CopyTo(larger, 0);
                    System.Buffers.ArrayPool<byte>.Shared.Return(text);
                    text = larger;
                }
            }

            for (ReadOnlySpan<byte> rest = text.AsSpan(0, length); !rest.IsEmpty;)
            {
                var end = rest.IndexOf((byte)0);
                if ((end < 0 ? rest : rest[..end]).SequenceEqual(_variable))
                {
                    return true;
                }

                rest = end < 0 ? default : rest[(end + 1)..];
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Gone, or not ours to read: then not one of ours either.
        }
        finally
        {
            if (text is not null)
            {
                System.Buffers.ArrayPool<byte>.Shared.Return(text);
            }
        }

        return false;
    }

    private static Snapshot? ReadStat(int pid)
    {
        Span<byte> buffer = stackalloc byte[1024];
        ReadOnlySpan<byte> text = buffer[..ReadProc(pid, "stat", buffer)];

        // The name in parentheses may hold anything, parentheses too: the fields follow the last one.
        var fields = text.LastIndexOf(") "u8);
        if (fields < 0 || fields + 4 > text.Length)
        {
            return null;
        }

        text = text[(fields + 2)..];
        var state = text[0];
        text = text[2..];
        return Next(ref text, out var parent) && Next(ref text, out _) && Next(ref text, out var session)
            ? new Snapshot(parent, session, state is (byte)'Z' or (byte)'X')
            : null;

        static bool Next(ref ReadOnlySpan<byte> rest, out int value)
        {
            if (!Utf8Parser.TryParse(rest, out value, out var used))
            {
                return false;
            }

            rest = rest[used..].TrimStart((byte)' ');
            return true;
        }
    }

    private static int ReadProc(int pid, string name, Span<byte> buffer)
    {
        Span<byte> path = stackalloc byte[64];
        var length = Encoding.ASCII.GetBytes($"/proc/{pid.ToString(CultureInfo.InvariantCulture)}/{name}\0", path);
        int fd;
        fixed (byte* start = path[..length])
        {
            fd = Libc.Open(start, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        }

        if (fd < 0)
        {
            return 0;
        }

        using var handle = new SafeFileHandle(fd, ownsHandle: true);
        var total = 0;
        try
        {
            while (total < buffer.Length && Descriptors.Read(handle, buffer[total..]) is var count and > 0)
            {
                total += count;
            }
        }
        catch (LinuxException)
        {
            // The process ended while it was read (ESRCH).
            return 0;
        }

        return total;
    }

    private readonly record struct Snapshot(int Parent, int Session, bool Dead);
}
