using System.Globalization;

namespace DoSandbox.Bench;

/// <summary>Memory of processes as the kernel shares it out (proc(5), smaps_rollup).</summary>
internal static class Memory
{
    /// <summary>The sum of Pss, in KiB, over all processes whose command's name (comm) is chosen.</summary>
    public static long ProportionalKilobytes(Func<string, bool> chosen)
    {
        long sum = 0;
        foreach (var folder in Directory.EnumerateDirectories("/proc").Where(path => int.TryParse(Path.GetFileName(path), out _)))
        {
            try
            {
                if (chosen(File.ReadAllText(Path.Combine(folder, "comm")).Trim()))
                {
                    var line = File.ReadLines(Path.Combine(folder, "smaps_rollup")).First(text => text.StartsWith("Pss:", StringComparison.Ordinal));
                    sum += long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
                }
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or InvalidOperationException)
            {
                // It ended meanwhile.
                continue;
            }
        }

        return sum;
    }
}
