using System.Globalization;
using System.Runtime.InteropServices;

namespace DoSandbox.HostProcesses;

/// <summary>The processes that came from one process, as Linux tells them at one moment. Empty on other systems.</summary>
internal sealed class HostProcessTree
{
    public const int SigTerm = 15;
    private const int SigKill = 9;

    private readonly List<Entry> _descendants;

    private HostProcessTree(List<Entry> descendants)
    {
        _descendants = descendants;
    }

    /// <summary>A process; its start time tells it from a later one with the same id.</summary>
    private readonly record struct Entry(int Id, int Parent, ulong StartTime);

    /// <summary>All children of a process, their children, and so on.</summary>
    public static HostProcessTree DescendantsOf(int root)
    {
        var found = new List<Entry>();
        if (Directory.Exists("/proc/self"))
        {
            var children = Directory.EnumerateDirectories("/proc").Select(ReadEntry).OfType<Entry>().ToLookup(entry => entry.Parent);
            var next = new Queue<int>([root]);
            while (next.TryDequeue(out var parent))
            {
                foreach (var child in children[parent])
                {
                    found.Add(child);
                    next.Enqueue(child.Id);
                }
            }
        }

        return new HostProcessTree(found);
    }

    /// <summary>Kills those that still run.</summary>
    public void Kill()
    {
        foreach (var entry in _descendants)
        {
            if (ReadEntry($"/proc/{entry.Id.ToString(CultureInfo.InvariantCulture)}") is { } now && now.StartTime == entry.StartTime)
            {
                _ = Signal(entry.Id, SigKill);
            }
        }
    }

    [DllImport("libc", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    public static extern int Signal(int process, int signal);

    private static Entry? ReadEntry(string folder)
    {
        if (!int.TryParse(Path.GetFileName(folder.AsSpan()), NumberStyles.None, CultureInfo.InvariantCulture, out var id))
        {
            return null;
        }

        try
        {
            var stat = File.ReadAllText(folder + "/stat");
            // The name in parentheses may itself hold spaces and parentheses.
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return new Entry(id, int.Parse(fields[1], CultureInfo.InvariantCulture), ulong.Parse(fields[19], CultureInfo.InvariantCulture));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
