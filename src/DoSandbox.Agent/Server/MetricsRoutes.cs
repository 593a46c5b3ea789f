using System.Buffers.Text;
using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using DoSandbox.Wire.Execd;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary>
/// <c>/metrics</c>: what the processes of this sandbox use together. /proc/stat and the "used" of /proc/meminfo would tell
/// about the whole machine.
/// </summary>
internal sealed class MetricsRoutes
{
    private const double TicksPerSecond = 100;
    private const double Mebibyte = 1024 * 1024;
    private static readonly TimeSpan Window = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan WatchPeriod = TimeSpan.FromSeconds(2);

    public async Task GetAsync(HttpContext context) =>
        await Messages.WriteAsync(context, await SampleAsync(Window, context.RequestAborted).ConfigureAwait(false), ExecdJson.Default.Metrics).ConfigureAwait(false);

    /// <summary>A JSON line every two seconds until the client goes away.</summary>
    public async Task WatchAsync(HttpContext context)
    {
        context.Response.ContentType = "text/event-stream";
        context.Response.Headers.CacheControl = "no-cache";
        var writer = context.Response.BodyWriter;
        for (var window = Window; ; window = WatchPeriod)
        {
            var metrics = await SampleAsync(window, context.RequestAborted).ConfigureAwait(false);
            await writer.WriteAsync(JsonSerializer.SerializeToUtf8Bytes(metrics, ExecdJson.Default.Metrics), context.RequestAborted).ConfigureAwait(false);
            await writer.WriteAsync("\n"u8.ToArray(), context.RequestAborted).ConfigureAwait(false);
        }
    }

    private static async Task<Metrics> SampleAsync(TimeSpan window, CancellationToken cancellation)
    {
        var started = Stopwatch.GetTimestamp();
        var before = Usage.Read();
        await Task.Delay(window, cancellation).ConfigureAwait(false);
        var now = Usage.Read();
        var seconds = Stopwatch.GetElapsedTime(started).TotalSeconds;
        var used = Math.Max(0, now.Ticks - before.Ticks) / TicksPerSecond / seconds / Environment.ProcessorCount;
        return new Metrics
        {
            CpuCount = Environment.ProcessorCount,
            CpuUsedPct = Math.Round(Math.Min(100, 100 * used), 2),
            MemTotalMib = Math.Round(TotalMemory() / Mebibyte, 2),
            MemUsedMib = Math.Round(now.Memory / Mebibyte, 2),
            Timestamp = DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(),
        };
    }

    private static double TotalMemory()
    {
        foreach (var line in File.ReadLines("/proc/meminfo"))
        {
            if (line.StartsWith("MemTotal:", StringComparison.Ordinal))
            {
                return 1024.0 * long.Parse(line.AsSpan(9, line.Length - 9 - " kB".Length), NumberStyles.AllowLeadingWhite, CultureInfo.InvariantCulture);
            }
        }

        return 0;
    }

    private readonly record struct Usage(long Ticks, long Memory)
    {
        public static Usage Read()
        {
            long ticks = 0;
            long pages = 0;
            foreach (var directory in Directory.EnumerateDirectories("/proc"))
            {
                if (!char.IsAsciiDigit(directory["/proc/".Length]))
                {
                    continue;
                }

                try
                {
                    ticks += ReadTicks(File.ReadAllBytes(directory + "/stat"));

                    // Resident without what is shared with a file: pages of a program that many run count for nobody.
                    var memory = File.ReadAllText(directory + "/statm").Split(' ', 4);
                    pages += long.Parse(memory[1], CultureInfo.InvariantCulture) - long.Parse(memory[2], CultureInfo.InvariantCulture);
                }
                catch (Exception e) when (e is IOException or UnauthorizedAccessException)
                {
                    // It ended meanwhile.
                }
            }

            return new Usage(ticks, pages * Environment.SystemPageSize);
        }

        /// <summary>utime, stime, cutime and cstime: what an ended child used has moved to its parent.</summary>
        private static long ReadTicks(ReadOnlySpan<byte> stat)
        {
            const int FieldsBefore = 11;
            stat = stat[(stat.LastIndexOf(") "u8) + 2)..];
            for (var i = 0; i < FieldsBefore; i++)
            {
                stat = stat[(stat.IndexOf((byte)' ') + 1)..];
            }

            long sum = 0;
            for (var i = 0; i < 4 && Utf8Parser.TryParse(stat, out long value, out var used); i++)
            {
                sum += value;
                stat = stat[(used + 1)..];
            }

            return sum;
        }
    }
}
