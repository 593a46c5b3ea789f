using System.Diagnostics;
using System.Globalization;
using DoSandbox.Backends.Local;
using DoSandbox.Commands;
using DoSandbox.Connections;
using DoSandbox.Sandboxes;

namespace DoSandbox.Bench;

/// <summary>What the local backend costs, each figure beside the floor that the machine itself sets.</summary>
internal sealed class LocalBench(string folder, bool quick)
{
    private const long MiB = 1024 * 1024;
    private const string Bubblewrap = "bwrap";

    private readonly LocalBackend _backend = new();
    private readonly Report _report = new();
    private readonly long _fileBytes = (quick ? 64 : 1024) * MiB;
    private readonly int _rounds = quick ? 5 : 21;

    public async Task<int> RunAsync()
    {
        Console.WriteLine($"local backend, {Environment.ProcessorCount} CPUs, medians of {_rounds} rounds, floor and figure in turn");
        await CreateAsync();
        await CommandsAsync();
        await OutputAsync();
        await FilesAsync();
        await ManyAsync();
        await ImportAsync();
        return _report.Missed;
    }

    private async Task CreateAsync()
    {
        string[] floor = ["--unshare-all", "--ro-bind", "/", "/", "/bin/true"];
        var made = new List<Sandbox>();
        var medians = await Measure.MediansAsync(_rounds,
            async () =>
            {
                var sandbox = await _backend.CreateAsync(new SandboxSpec(), null, CancellationToken.None);
                made.Add(sandbox);
                await using var connection = await _backend.ConnectAsync(sandbox, CancellationToken.None);
                await connection.RunToEndAsync(new CommandRequest("true"), CancellationToken.None);
            },
            () => Measure.RunAsync(Bubblewrap, floor));
        _report.AtMost("create to first command answered", medians[0], medians[1], 10, "ms", "bwrap /bin/true");
        if (Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(path => File.Exists(Path.Combine(path, "runsc"))))
        {
            try
            {
                var runsc = await Measure.MediansAsync(5, () => Measure.RunAsync("runsc", "--network=none", "do", "true"));
                _report.AtMost("create to first command answered", medians[0], runsc[0], 0.5, "ms", "runsc do true");
            }
            catch (InvalidOperationException exception)
            {
                _report.Skip("create against runsc do true", exception.Message.ReplaceLineEndings(" "));
            }
        }
        else
        {
            _report.Skip("create against runsc do true", "runsc is not installed");
        }

        var clock = Stopwatch.GetTimestamp();
        foreach (var sandbox in made)
        {
            await _backend.DeleteAsync(sandbox, CancellationToken.None);
        }

        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{"remove, mean",-44} {Stopwatch.GetElapsedTime(clock).TotalMilliseconds / made.Count,9:0.0} ms"));
    }

    private async Task CommandsAsync()
    {
        const int batch = 20;
        await WithSandboxAsync(async connection =>
        {
            var medians = await Measure.MediansAsync(_rounds,
                async () =>
                {
                    for (var i = 0; i < batch; i++)
                    {
                        await connection.RunToEndAsync(new CommandRequest("true"), CancellationToken.None);
                    }
                },
                // Started by a shell's own loop: what a .NET program pays to start a process would be no floor.
                () => Measure.RunAsync("/bin/sh", "-c", $"i=0; while [ $i -lt {batch} ]; do /bin/sh -c true; i=$((i+1)); done"));
            _report.AtMost("a command on a warm connection", medians[0] / batch, medians[1] / batch, 3, "ms", "/bin/sh -c true");
        });
    }

    private async Task OutputAsync()
    {
        const int bytes = 100_000_000;
        var command = $"head -c {bytes} /dev/zero";
        await WithSandboxAsync(async connection =>
        {
            long peak = 0;
            var medians = await Measure.MediansAsync(Math.Min(_rounds, 9),
                async () =>
                {
                    long total = 0;
                    await foreach (var next in connection.RunAsync(new CommandRequest(command), CancellationToken.None))
                    {
                        total += next is CommandOutputReceived output ? output.Data.Length : 0;
                    }

                    if (total != bytes)
                    {
                        throw new InvalidOperationException($"{total} bytes came instead of {bytes}");
                    }

                    peak = Math.Max(peak, Environment.WorkingSet);
                },
                () => Measure.RunAsync("/bin/sh", "-c", command));
            _report.AtLeast("100 MB of output", bytes / 1000.0 / medians[0], bytes / 1000.0 / medians[1], 0.3, "MB/s", "reading a pipe");
            Console.WriteLine($"{"  resident memory of this client after it",-44} {peak / MiB,9} MiB");
        });
    }

    private async Task FilesAsync()
    {
        var source = Path.Combine(folder, "source");
        var copy = Path.Combine(folder, "copy");
        await WriteRandomAsync(source, _fileBytes);
        var spec = new SandboxSpec { Limits = new SandboxLimits { DiskMB = (_fileBytes / MiB * 2) + 512, MemoryMB = 4096 } };
        await WithSandboxAsync(async connection =>
        {
            var rate = _fileBytes / 1e6 * 1000;
            var medians = await Measure.MediansAsync(quick ? 3 : 5,
                async () =>
                {
                    await using var file = File.OpenRead(source);
                    await connection.Files.WriteAsync("/app/file", file, null, CancellationToken.None);
                },
                async () =>
                {
                    await using var stream = await connection.Files.OpenReadAsync("/app/file", CancellationToken.None);
                    await using var file = File.Create(copy);
                    await stream.CopyToAsync(file, 1 << 20);
                },
                () => Measure.RunAsync("cp", source, copy));
            var size = $"{_fileBytes / MiB} MiB";
            _report.AtLeast($"{size} up", rate / medians[0], rate / medians[2], 0.2, "MB/s", "cp");
            _report.AtLeast($"{size} down", rate / medians[1], rate / medians[2], 0.3, "MB/s", "cp");
        }, spec);
        File.Delete(source);
        File.Delete(copy);
    }

    private async Task ManyAsync()
    {
        const double most = 25;
        var count = quick ? 10 : 100;
        var made = new List<(Sandbox Sandbox, ISandboxConnection Connection)>();
        try
        {
            for (var i = 0; i < count; i++)
            {
                var sandbox = await _backend.CreateAsync(new SandboxSpec(), null, CancellationToken.None);
                made.Add((sandbox, await _backend.ConnectAsync(sandbox, CancellationToken.None)));
            }

            await Parallel.ForEachAsync(made, async (one, token) => await one.Connection.RunToEndAsync(new CommandRequest("true"), token));
            var kilobytes = made.Sum(one => Memory.ProportionalKilobytes(one.Sandbox.Id));
            _report.AtMost($"{count} sandboxes alive: memory (PSS) of each", kilobytes / 1024.0 / count, most, 1, "MiB", "bound");
        }
        finally
        {
            foreach (var (sandbox, connection) in made)
            {
                await connection.DisposeAsync();
                await _backend.DeleteAsync(sandbox, CancellationToken.None);
            }
        }
    }

    private async Task ImportAsync()
    {
        var manifest = ModuleFolder.Find();
        if (manifest is null || !Environment.GetEnvironmentVariable("PATH")!.Split(':').Any(path => File.Exists(Path.Combine(path, "pwsh"))))
        {
            _report.Skip("Import-Module", "it needs pwsh and a built module");
            return;
        }

        var small = ModuleFolder.WriteTwoCmdlets(folder);
        var script = "$clock = [Diagnostics.Stopwatch]::StartNew(); Import-Module '{0}'; $clock.Elapsed.TotalMilliseconds";
        var times = new List<double>[] { [], [] };
        for (var round = 0; round < Math.Min(_rounds, 11); round++)
        {
            for (var index = 0; index < 2; index++)
            {
                using var process = Process.Start(new ProcessStartInfo("pwsh", ["-NoProfile", "-NonInteractive", "-Command", string.Format(CultureInfo.InvariantCulture, script, index == 0 ? manifest : small)])
                {
                    RedirectStandardOutput = true,
                    UseShellExecute = false,
                })!;
                times[index].Add(double.Parse(await process.StandardOutput.ReadToEndAsync(), CultureInfo.InvariantCulture));
                await process.WaitForExitAsync();
            }
        }

        _report.AtMost("Import-Module", Measure.Median([.. times[0]]), Measure.Median([.. times[1]]), 2, "ms", "a module of two cmdlets");
    }

    private async Task WithSandboxAsync(Func<ISandboxConnection, Task> work, SandboxSpec? spec = null)
    {
        var sandbox = await _backend.CreateAsync(spec ?? new SandboxSpec(), null, CancellationToken.None);
        try
        {
            await using var connection = await _backend.ConnectAsync(sandbox, CancellationToken.None);
            await work(connection);
        }
        finally
        {
            await _backend.DeleteAsync(sandbox, CancellationToken.None);
        }
    }

    private static async Task WriteRandomAsync(string path, long bytes)
    {
        var block = new byte[MiB];
        new Random(1).NextBytes(block);
        await using var file = File.Create(path);
        for (long written = 0; written < bytes; written += block.Length)
        {
            await file.WriteAsync(block);
        }
    }
}
