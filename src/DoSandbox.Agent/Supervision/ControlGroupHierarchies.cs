namespace DoSandbox.Agent.Supervision;

/// <summary>Where this machine's control groups are mounted.</summary>
internal sealed class ControlGroupHierarchies
{
    /// <summary>The mount point of the v2 hierarchy, also beside v1 ones.</summary>
    public string? Unified { get; private init; }

    /// <summary>This process's own group in the v2 hierarchy, from its root.</summary>
    public string OwnUnifiedPath { get; private init; } = "/";

    /// <summary>The mount point of each v1 controller.</summary>
    public Dictionary<string, string> Version1 { get; } = new(StringComparer.Ordinal);

    /// <summary>Reads /proc/self/mountinfo (proc(5)) and /proc/self/cgroup (cgroups(7)).</summary>
    public static ControlGroupHierarchies Read() => Parse(File.ReadLines("/proc/self/mountinfo"), File.ReadLines("/proc/self/cgroup"));

    private static ControlGroupHierarchies Parse(IEnumerable<string> mounts, IEnumerable<string> memberships)
    {
        string? unified = null;
        var version1 = new List<(string Controller, string Mount)>();
        foreach (var line in mounts)
        {
            // ... (5) mount point (6) options, optional fields, "-", type, source, super options
            var halves = line.Split(" - ", 2);
            var before = halves[0].Split(' ');
            if (halves.Length != 2 || before.Length < 6)
            {
                continue;
            }

            var after = halves[1].Split(' ');
            if (after[0] == "cgroup2")
            {
                unified ??= before[4];
            }
            else if (after[0] == "cgroup" && after.Length > 2)
            {
                version1.AddRange(after[2].Split(',').Select(option => (option, before[4])));
            }
        }

        var own = memberships.FirstOrDefault(line => line.StartsWith("0::", StringComparison.Ordinal)) ?? "0::/";
        var result = new ControlGroupHierarchies { Unified = unified, OwnUnifiedPath = own[3..] };
        foreach (var (controller, mount) in version1)
        {
            result.Version1.TryAdd(controller, mount);
        }

        return result;
    }
}
