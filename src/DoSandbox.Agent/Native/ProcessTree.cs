using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Native;

/// <summary>
/// Everything that descends from one command: found by descent, by session, by a variable in the environment and by a
/// mark in a resource limit. Each alone has a way out (a double fork, setsid, an emptied environment); together they
/// catch what programs do. What came to the agent without any command's mark has taken its own off, and belongs to
/// every tree that is killed.
/// </summary>
internal sealed unsafe class ProcessTree
{
    private const int MaxDepth = 4096;
    private const int Window = 64 * 1024;

    /// <summary>Twice what a program can be started with. A process may claim that its environment is any part of its memory, gigabytes too.</summary>
    private const int MaxEnvironment = 4 * 1024 * 1024;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    // One at a time: a second freeze would take what the first one stopped for what was stopped before.
    private static readonly Lock Freezing = new();

    private readonly Func<int?> _root;
    private readonly byte[] _variable;
    private readonly ulong? _mark;

    /// <param name="root">Tells the process id, and session, of the command itself, and null from when others can get that id.</param>
    /// <param name="variable">NAME=value, found in the environment of its descendants.</param>
    /// <param name="mark">The soft limit of real-time computing (RLIMIT_RTTIME) that its descendants carry (<see cref="ProcessMark"/>), or null.</param>
    public ProcessTree(Func<int?> root, string variable, ulong? mark)
    {
        _root = root;
        _variable = [0, .. Encoding.UTF8.GetBytes(variable), 0];
        _mark = mark;
    }

    /// <summary>Sends a signal to every process of the tree.</summary>
    /// <returns>How many there were.</returns>
    public int Signal(int signal)
    {
        var members = Find();
        SendAll(members, signal);
        return members.Count;
    }

    /// <summary>Kills every process of the tree, and looks again until nothing is left. Blocks the calling thread, at most about 5 seconds.</summary>
    /// <returns>True when nothing is left.</returns>
    public bool Kill()
    {
        var deadline = Environment.TickCount64 + (long)Patience.TotalMilliseconds;
        return Libc.GetPid() == 1 ? KillAsPidOne(deadline) : KillAmongOthers(deadline);
    }

    /// <summary>The living processes of the tree; dead ones that wait to be reaped do not count.</summary>
    public List<int> Find() => Find(ReadAll());

    /// <summary>
    /// A look at the processes misses one that ends while its child is not there yet, again and again where a chain of
    /// them forks fast. So a look counts only when nothing was forked meanwhile; else everything in the sandbox stands
    /// still for the moment of the look.
    /// </summary>
    private bool KillAsPidOne(long deadline)
    {
        for (var round = 0; Environment.TickCount64 < deadline; round++)
        {
            var before = ReadLastPid();
            var members = Find();
            var whole = before is not null && before == ReadLastPid();
            if (whole)
            {
                SendAll(members, Libc.SIGKILL);
            }
            else
            {
                members = KillFrozen();
            }

            if (members.Count == 0)
            {
                return true;
            }

            Thread.Sleep(round < 5 ? 1 : 10);
        }

        return false;
    }

    private List<int> KillFrozen()
    {
        lock (Freezing)
        {
            var stoppedBefore = new HashSet<int>(ReadAll().Where(entry => entry.Value.State == 'T').Select(entry => entry.Key));
            Dictionary<int, Snapshot>? all = null;
            try
            {
                // Reaches all but this process, and a fork under way fails and starts again: none slips through.
                _ = Libc.Kill(-1, Libc.SIGSTOP);
                all = ReadAll();
                var members = Find(all);
                SendAll(members, Libc.SIGKILL);
                return members;
            }
            finally
            {
                if (all is null)
                {
                    _ = Libc.Kill(-1, Libc.SIGCONT);
                }
                else
                {
                    // Children first: a shell that goes on must not see that its job stands still.
                    SendAll(all.Keys.Where(pid => !stoppedBefore.Contains(pid)).OrderByDescending(pid => Depth(pid, all)), Libc.SIGCONT);
                }
            }
        }
    }

    /// <summary>Stops them first, so that few make new ones unseen; a process may not stop all others where they are not all its own.</summary>
    private bool KillAmongOthers(long deadline)
    {
        var stopped = new HashSet<int>();
        while (Environment.TickCount64 < deadline)
        {
            var fresh = Find().Where(stopped.Add).ToList();
            if (fresh.Count == 0)
            {
                break;
            }

            SendAll(fresh, Libc.SIGSTOP);
        }

        for (var round = 0; Signal(Libc.SIGKILL) > 0; round++)
        {
            if (Environment.TickCount64 >= deadline)
            {
                return false;
            }

            Thread.Sleep(round < 5 ? 1 : 10);
        }

        return true;
    }

    private static void SendAll(IEnumerable<int> processes, int signal)
    {
        foreach (var pid in processes)
        {
            _ = Libc.Kill(pid, signal);
        }
    }

    private static Dictionary<int, Snapshot> ReadAll()
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

        return all;
    }

    private List<int> Find(Dictionary<int, Snapshot> all)
    {
        // Asked after the look: until now its id was its own.
        var search = new Search(all, _root() ?? 0, new() { [Libc.GetPid()] = false });
        var result = new List<int>();
        foreach (var (pid, snapshot) in all)
        {
            if (!snapshot.Dead && IsMember(pid, search, 0))
            {
                result.Add(pid);
            }
        }

        return result;
    }

    private bool IsMember(int pid, Search search, int depth)
    {
        if (search.Verdicts.TryGetValue(pid, out var known))
        {
            return known;
        }

        if (!search.All.TryGetValue(pid, out var snapshot) || depth > MaxDepth)
        {
            return false;
        }

        var member = (search.Root > 0 && (pid == search.Root || snapshot.Session == search.Root))
            || IsMember(snapshot.Parent, search, depth + 1)
            || IsMarked(pid, snapshot) || HasVariable(pid);
        search.Verdicts[pid] = member;
        return member;
    }

    private bool IsMarked(int pid, Snapshot snapshot)
    {
        if (_mark is null || ReadMark(pid) is not { } mark)
        {
            return false;
        }

        // In the session of a command that runs, it is that command's, whatever it does with its limits.
        return mark == _mark
            || (snapshot.Parent == Libc.GetPid() && !ProcessMark.IsOne(mark) && !Reaper.Instance.Waits(snapshot.Session));
    }

    /// <summary>The soft limit that holds a mark; null when the process is gone.</summary>
    private static ulong? ReadMark(int pid)
    {
        Span<byte> buffer = stackalloc byte[4096];
        var text = buffer[..ReadProc(pid, "limits", buffer)];
        var line = text.IndexOf("Max realtime timeout"u8);
        if (line < 0)
        {
            return null;
        }

        text = text[(line + "Max realtime timeout"u8.Length)..].TrimStart((byte)' ');
        return Utf8Parser.TryParse(text, out ulong value, out _) ? value : Libc.RLIM_INFINITY;
    }

    private bool HasVariable(int pid)
    {
        var buffer = System.Buffers.ArrayPool<byte>.Shared.Rent(Window);
        try
        {
            using var file = File.OpenHandle($"/proc/{pid.ToString(CultureInfo.InvariantCulture)}/environ");

            // Every entry has a NUL in front and behind, with one before the first.
            buffer[0] = 0;
            var held = 1;
            for (var position = 0; position < MaxEnvironment;)
            {
                var count = RandomAccess.Read(file, buffer.AsSpan(held), position);
                if (count == 0)
                {
                    buffer[held] = 0;
                    return buffer.AsSpan(0, held + 1).EndsWith(_variable);
                }

                position += count;
                held += count;
                if (buffer.AsSpan(0, held).IndexOf(_variable) >= 0)
                {
                    return true;
                }

                var rest = Math.Min(held, _variable.Length - 1);
                buffer.AsSpan(held - rest, rest).CopyTo(buffer);
                held = rest;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Gone, or not ours to read: then not one of ours either.
        }
        finally
        {
            System.Buffers.ArrayPool<byte>.Shared.Return(buffer);
        }

        return false;
    }

    private static int Depth(int pid, Dictionary<int, Snapshot> all)
    {
        var depth = 0;
        while (depth < MaxDepth && all.TryGetValue(pid, out var snapshot))
        {
            pid = snapshot.Parent;
            depth++;
        }

        return depth;
    }

    /// <summary>The process or thread id given out last, or null when it cannot be read: every fork changes it.</summary>
    private static int? ReadLastPid()
    {
        Span<byte> buffer = stackalloc byte[256];
        ReadOnlySpan<byte> text = buffer[..ReadProc("loadavg", buffer)];
        text = text[(text.LastIndexOf((byte)' ') + 1)..];
        return Utf8Parser.TryParse(text, out int value, out _) ? value : null;
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
        var state = (char)text[0];
        text = text[2..];
        if (!Next(ref text, out var parent) || !Next(ref text, out _) || !Next(ref text, out var session))
        {
            return null;
        }

        // The 20th field, 14 behind the session's: a process whose first thread has ended shows as a zombie while others run.
        var threads = 0L;
        for (var field = 0; field < 14; field++)
        {
            if (!Next(ref text, out threads))
            {
                return null;
            }
        }

        return new Snapshot((int)parent, (int)session, state, Dead: state == 'X' || (state == 'Z' && threads <= 1));

        static bool Next(ref ReadOnlySpan<byte> rest, out long value)
        {
            if (!Utf8Parser.TryParse(rest, out value, out var used))
            {
                return false;
            }

            rest = rest[used..].TrimStart((byte)' ');
            return true;
        }
    }

    private static int ReadProc(int pid, string name, Span<byte> buffer) =>
        ReadProc($"{pid.ToString(CultureInfo.InvariantCulture)}/{name}", buffer);

    private static int ReadProc(string name, Span<byte> buffer)
    {
        Span<byte> path = stackalloc byte[64];
        var length = Encoding.ASCII.GetBytes($"/proc/{name}\0", path);
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

    private readonly record struct Snapshot(int Parent, int Session, char State, bool Dead);

    private readonly record struct Search(Dictionary<int, Snapshot> All, int Root, Dictionary<int, bool> Verdicts);
}
