using System.Globalization;
using DoSandbox.Wire.Local;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Supervision;

/// <summary>
/// The control groups of one sandbox: limits, and on a v2 hierarchy kill and freeze. Made before root is given up; the files that are needed
/// later are opened then, since the kernel checks the rights of whoever opened them.
/// </summary>
internal sealed class ControlGroups : IDisposable
{
    private const string Parent = "dosandbox";
    private const string ProcessesFile = "cgroup.procs";
    private const long MiB = 1024 * 1024;

    /// <summary>The cpu controller's period in microseconds.</summary>
    private const int CpuPeriod = 100_000;

    /// <summary>Room beside the user's processes for bubblewrap and the agent's own threads: an agent that cannot make a thread dies.</summary>
    private const int AgentProcesses = 64;

    private readonly List<(string Folder, SafeFileHandle Enter, SafeFileHandle Leave)> _groups = [];
    private SafeFileHandle? _kill;
    private string? _memoryEvents;

    private ControlGroups()
    {
    }

    /// <summary>Full paths of the groups made.</summary>
    public string[] Folders => _groups.Select(group => group.Folder).ToArray();

    /// <summary>Makes the groups that enforce <paramref name="limits"/>.</summary>
    /// <exception cref="SuperviseException">NotSupported: a limit cannot be enforced here.</exception>
    public static ControlGroups Create(string id, LocalLimits limits, bool root)
    {
        var groups = new ControlGroups();
        try
        {
            groups.Make(id, limits, root);
            return groups;
        }
        catch (Exception exception)
        {
            groups.Remove();
            groups.Dispose();
            throw exception is IOException or UnauthorizedAccessException
                ? new SuperviseException("NotSupported", $"A control group could not be made: {exception.Message}", Advice("-MemoryMB 0 -CpuCount 0"))
                : exception;
        }
    }

    /// <summary>Moves this process in, so that what it starts is in from its first instruction.</summary>
    public void Enter() => _groups.ForEach(group => WriteSelf(group.Enter));

    /// <summary>Moves this process out again.</summary>
    public void Leave() => _groups.ForEach(group => WriteSelf(group.Leave));

    /// <summary>Kills everything in the groups, where the kernel can.</summary>
    public void Kill()
    {
        if (_kill is not null)
        {
            RandomAccess.Write(_kill, "1"u8, 0);
        }
    }

    /// <summary>True when the kernel killed something in there for want of memory.</summary>
    public bool RanOutOfMemory()
    {
        try
        {
            return _memoryEvents is not null && File.ReadLines(_memoryEvents)
                .Any(line => line.StartsWith("oom_kill ", StringComparison.Ordinal) && !line.EndsWith(" 0", StringComparison.Ordinal));
        }
        catch (IOException)
        {
            return false;
        }
    }

    /// <summary>Removes the groups, as far as the rights go; the next client removes the rest.</summary>
    public void Remove()
    {
        foreach (var (folder, _, _) in _groups)
        {
            try
            {
                Directory.Delete(folder);
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                SupervisorLog.Write($"control group {folder} is left for the next client: {exception.Message}");
            }
        }
    }

    public void Dispose()
    {
        foreach (var (_, enter, leave) in _groups)
        {
            enter.Dispose();
            leave.Dispose();
        }

        _kill?.Dispose();
    }

    private static void WriteSelf(SafeFileHandle processes) => RandomAccess.Write(processes, "0"u8, 0);

    private static string Advice(string limits) =>
        $"Use {limits} for no such limit, run as root, or delegate a control group with its controllers (systemd-run --user --scope -p Delegate=yes).";

    private void Make(string id, LocalLimits limits, bool root)
    {
        var hierarchies = ControlGroupHierarchies.Read();
        if (root)
        {
            if (hierarchies.Unified is { } unified)
            {
                var parent = MakeParent(unified);
                EnableControllers(unified);
                EnableControllers(parent);
                Add(Path.Combine(parent, id), Path.Combine(unified, ProcessesFile));
            }

            foreach (var controller in (string[])["memory", "pids", "cpu"])
            {
                if (hierarchies.Version1.TryGetValue(controller, out var mount))
                {
                    Add(Path.Combine(MakeParent(mount), id), Path.Combine(mount, ProcessesFile));
                }
            }
        }
        else if (hierarchies.Unified is { } delegated && limits != new LocalLimits { DiskMB = limits.DiskMB })
        {
            AddDelegated(delegated, hierarchies.OwnUnifiedPath, id);
        }

        Limit(limits);
    }

    private static string MakeParent(string mount) => Directory.CreateDirectory(Path.Combine(mount, Parent)).FullName;

    private static void EnableControllers(string folder)
    {
        var available = File.ReadAllText(Path.Combine(folder, "cgroup.controllers")).Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries);
        var wanted = string.Join(' ', available.Where(name => name is "memory" or "pids" or "cpu").Select(name => "+" + name));
        if (wanted.Length > 0)
        {
            File.WriteAllText(Path.Combine(folder, "cgroup.subtree_control"), wanted);
        }
    }

    /// <summary>Without root: the nearest group above this process that is ours to write and hands controllers down.</summary>
    private void AddDelegated(string mount, string ownPath, string id)
    {
        var own = mount + ownPath.TrimEnd('/');
        for (var folder = own; folder.Length > mount.Length; folder = Path.GetDirectoryName(folder)!)
        {
            try
            {
                var controllers = File.ReadAllText(Path.Combine(folder, "cgroup.subtree_control"));
                if (!controllers.Contains("memory", StringComparison.Ordinal) && !controllers.Contains("pids", StringComparison.Ordinal))
                {
                    continue;
                }

                Add(Path.Combine(folder, $"{Parent}-{id}"), Path.Combine(own, ProcessesFile));
                return;
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // Not ours: look further up.
                continue;
            }
        }
    }

    private void Add(string folder, string leave)
    {
        Directory.CreateDirectory(folder);
        SafeFileHandle? enter = null;
        try
        {
            enter = Open(Path.Combine(folder, ProcessesFile));
            _groups.Add((folder, enter, Open(leave)));
        }
        catch
        {
            enter?.Dispose();
            Directory.Delete(folder);
            throw;
        }

        var kill = Path.Combine(folder, "cgroup.kill");
        if (File.Exists(kill))
        {
            _kill = Open(kill);
        }
    }

    private static SafeFileHandle Open(string file) => File.OpenHandle(file, FileMode.Open, FileAccess.Write, FileShare.ReadWrite);

    private void Limit(LocalLimits limits)
    {
        if (limits.MemoryMB is { } memory)
        {
            var bytes = (memory * MiB).ToString(CultureInfo.InvariantCulture);
            Require("-MemoryMB", ("memory.max", bytes), ("memory.limit_in_bytes", bytes));

            // No swap beside the memory, or the limit would be none. Absent where the kernel keeps no account of swap.
            Set("memory.swap.max", "0");
            Set("memory.memsw.limit_in_bytes", bytes);
            _memoryEvents = Find("memory.events") ?? Find("memory.oom_control");
        }

        if (limits.CpuCount is { } cpus)
        {
            var quota = ((long)(cpus * CpuPeriod)).ToString(CultureInfo.InvariantCulture);
            Set("cpu.cfs_period_us", CpuPeriod.ToString(CultureInfo.InvariantCulture));
            Require("-CpuCount", ("cpu.max", $"{quota} {CpuPeriod}"), ("cpu.cfs_quota_us", quota));
        }

        if (limits.MaxProcesses is { } processes)
        {
            // The agent's own limit on what it starts holds where there is no such group.
            Set("pids.max", (processes + AgentProcesses).ToString(CultureInfo.InvariantCulture));
        }
    }

    private string? Find(string file) => _groups.Select(group => Path.Combine(group.Folder, file)).FirstOrDefault(File.Exists);

    private bool Set(string file, string value)
    {
        if (Find(file) is not { } path)
        {
            return false;
        }

        File.WriteAllText(path, value);
        return true;
    }

    private void Require(string parameter, params (string File, string Value)[] alternatives)
    {
        if (!alternatives.Any(alternative => Set(alternative.File, alternative.Value)))
        {
            throw new SuperviseException("NotSupported", $"The limit {parameter} cannot be enforced here: there is no control group with its controller that is ours to use.",
                Advice($"{parameter} 0"));
        }
    }
}
