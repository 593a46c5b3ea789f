using System.Globalization;
using System.Text.Json;

namespace DoSandbox.Bench;

/// <summary>Memory of processes as the kernel shares it out (proc(5), smaps_rollup).</summary>
internal static class Memory
{
    /// <summary>The sum of Pss, in KiB, of a local sandbox's supervisor and everything below it.</summary>
    public static long ProportionalKilobytes(string sandboxId)
    {
        var record = Path.Combine(Environment.GetEnvironmentVariable("DOSANDBOX_HOME")!, "sandboxes", sandboxId, "sandbox.json");
        using var document = JsonDocument.Parse(File.ReadAllText(record));
        return Tree(document.RootElement.GetProperty("supervisorPid").GetInt32());
    }

    private static long Tree(int pid)
    {
        var line = File.ReadLines($"/proc/{pid}/smaps_rollup").First(text => text.StartsWith("Pss:", StringComparison.Ordinal));
        var sum = long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
        foreach (var task in Directory.EnumerateDirectories($"/proc/{pid}/task"))
        {
            sum += File.ReadAllText(Path.Combine(task, "children")).Split(' ', StringSplitOptions.RemoveEmptyEntries).Sum(child => Tree(int.Parse(child, CultureInfo.InvariantCulture)));
        }

        return sum;
    }
}
