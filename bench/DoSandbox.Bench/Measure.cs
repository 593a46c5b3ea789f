using System.Diagnostics;

namespace DoSandbox.Bench;

/// <summary>Times in milliseconds. The things that are compared take turns in one run: the machine's noise falls on both.</summary>
internal static class Measure
{
    /// <summary>Runs the candidate and its floors in turn and returns the median of each.</summary>
    public static async Task<double[]> MediansAsync(int rounds, params Func<Task>[] candidates)
    {
        var times = candidates.Select(_ => new double[rounds]).ToArray();
        foreach (var candidate in candidates)
        {
            await candidate();
        }

        for (var round = 0; round < rounds; round++)
        {
            for (var index = 0; index < candidates.Length; index++)
            {
                var clock = Stopwatch.GetTimestamp();
                await candidates[index]();
                times[index][round] = Stopwatch.GetElapsedTime(clock).TotalMilliseconds;
            }
        }

        return times.Select(Median).ToArray();
    }

    public static double Median(double[] values)
    {
        Array.Sort(values);
        var middle = values.Length / 2;
        return values.Length % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
    }

    /// <summary>Runs a program of the host to its end, its output thrown away.</summary>
    public static async Task RunAsync(string file, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(file, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false })!;
        var output = process.StandardOutput.BaseStream.CopyToAsync(Stream.Null);
        var error = process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        await output;
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{file} ended with {process.ExitCode}: {await error}");
        }
    }
}
