using DoSandbox.Errors;
using DoSandbox.Sandboxes;

namespace DoSandbox.IsolationTests;

/// <summary>What takes more than it may: the sandbox says so or ends, and nobody else notices.</summary>
public sealed class LimitTests
{
    private const string TakeMemory = """
        import os
        kept = []
        while True: kept.append(bytearray(os.urandom(1024)) * 8192)
        """;

    private const string TakeProcesses = """
        import os, time
        made = 0
        try:
            while True:
                if os.fork() == 0: time.sleep(20); os._exit(0)
                made += 1
        except OSError as error: print('refused after', made, error.errno, flush=True)
        """;

    private static readonly SandboxSpec Small = new() { Limits = new SandboxLimits { MemoryMB = 128, MaxProcesses = 40, DiskMB = 64, CpuCount = 0.5 } };

    [RootFact]
    public async Task More_memory_than_allowed_ends_the_command_or_the_sandbox()
    {
        await using var sandbox = await TestSandbox.CreateAsync(Small);
        await using var neighbour = await TestSandbox.CreateAsync();
        await ExpectEndAsync(sandbox, () => sandbox.PythonAsync(TakeMemory, 60));
        Assert.Equal("fine\n", (await neighbour.ShellAsync("echo fine")).Stdout);
    }

    [RootFact]
    public async Task More_processes_than_allowed_are_refused_and_the_agent_still_answers()
    {
        await using var sandbox = await TestSandbox.CreateAsync(Small);
        var result = await sandbox.PythonAsync(TakeProcesses);
        Assert.StartsWith("refused after ", result.Stdout, StringComparison.Ordinal);
        Assert.InRange(int.Parse(result.Stdout.Split(' ')[2]), 10, 40);
        await sandbox.Connection.PingAsync(CancellationToken.None);
        var left = sandbox.HostProcesses().Count;
        Assert.InRange(left, 1, 40 + 8);
    }

    [RootFact]
    public async Task A_process_that_raises_its_own_limit_stays_bounded()
    {
        await using var sandbox = await TestSandbox.CreateAsync(Small);
        var before = HostProcessCount();
        try
        {
            await sandbox.PythonAsync("import resource\nhard = resource.getrlimit(resource.RLIMIT_NPROC)[1]\nresource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))\n" + TakeProcesses);
        }
        catch (SandboxException exception)
        {
            Assert.Contains(exception.Code, new[] { SandboxErrorCode.SandboxEnded, SandboxErrorCode.OutcomeUnknown, SandboxErrorCode.CommandNotStarted });
        }

        Assert.InRange(HostProcessCount() - before, -1000, 40 + 64);
    }

    [RootFact]
    public async Task More_disk_than_allowed_is_refused_and_the_agent_still_answers()
    {
        await using var sandbox = await TestSandbox.CreateAsync(Small);
        foreach (var folder in new[] { "/app", "/tmp", "/workspace", "/home/sandbox" })
        {
            var result = await sandbox.ShellAsync($"head -c 200000000 /dev/zero > {folder}/big; echo $?; rm -f {folder}/big");
            Assert.Contains("No space left on device", result.Stderr, StringComparison.Ordinal);
        }

        var shared = await sandbox.ShellAsync("head -c 200000000 /dev/zero > /dev/shm/big; rm -f /dev/shm/big");
        Assert.Contains("No space left on device", shared.Stderr, StringComparison.Ordinal);
        Assert.Equal("fine\n", (await sandbox.ShellAsync("echo fine")).Stdout);
    }

    [RootFact]
    public async Task More_CPU_than_allowed_is_not_given()
    {
        await using var sandbox = await TestSandbox.CreateAsync(Small);
        var result = await sandbox.PythonAsync("""
            import time
            wall, cpu = time.monotonic(), time.process_time()
            while time.monotonic() - wall < 2: pass
            print((time.process_time() - cpu) / (time.monotonic() - wall))
            """);
        Assert.InRange(double.Parse(result.Stdout, System.Globalization.CultureInfo.InvariantCulture), 0, 0.75);
    }

    [RootFact]
    public async Task Everything_at_once_harms_no_one_else()
    {
        await using var sandbox = await TestSandbox.CreateAsync(Small);
        await using var neighbour = await TestSandbox.CreateAsync();
        await ExpectEndAsync(sandbox, () => sandbox.ShellAsync("""
            (while :; do head -c 1000000000 /dev/zero > /tmp/$$ 2>/dev/null; done) &
            python3 -c "
            import os
            while True:
                try:
                    if os.fork() == 0:
                        kept = []
                        while True: kept.append(bytearray(os.urandom(1024)) * 4096)
                except OSError: pass
            "
            """, 10));
        Assert.Equal("fine\n", (await neighbour.ShellAsync("echo fine")).Stdout);
    }

    [RootFact]
    public async Task A_limit_out_of_bounds_is_refused_before_anything_is_made()
    {
        var before = Directory.Exists(StateHome.Path) ? Directory.GetFileSystemEntries(Path.Combine(StateHome.Path, "sandboxes")).Length : 0;
        foreach (var limits in new SandboxLimits[] { new() { MemoryMB = 1 }, new() { CpuCount = double.NaN }, new() { MaxProcesses = -1 }, new() { DiskMB = long.MaxValue } })
        {
            var refused = await Assert.ThrowsAsync<SandboxException>(() => TestSandbox.CreateAsync(new SandboxSpec { Limits = limits }));
            Assert.Equal(SandboxErrorCode.InvalidArgument, refused.Code);
        }

        Assert.Equal(before, Directory.Exists(StateHome.Path) ? Directory.GetFileSystemEntries(Path.Combine(StateHome.Path, "sandboxes")).Length : 0);
    }

    [Fact]
    public async Task A_sandbox_whose_time_is_up_ends_and_says_why()
    {
        await using var sandbox = await TestSandbox.CreateAsync(new SandboxSpec { TimeToLive = TimeSpan.FromSeconds(1) });
        var ended = await Assert.ThrowsAsync<SandboxException>(() => sandbox.ShellAsync("sleep 20"));
        Assert.Contains("time was up", ended.Message, StringComparison.Ordinal);
        Assert.NotEqual(SandboxErrorCode.CommandTimedOut, ended.Code);
        Assert.Equal(SandboxState.Ended, (await sandbox.Backend.GetAsync(sandbox.Sandbox.Id, CancellationToken.None))!.State);
    }

    private static int HostProcessCount() => Directory.EnumerateDirectories("/proc").Count(path => int.TryParse(Path.GetFileName(path), out _));

    /// <summary>Either the command ends badly and the sandbox goes on, or the sandbox ends and says so.</summary>
    private static async Task ExpectEndAsync(TestSandbox sandbox, Func<Task<Commands.CommandResult>> attack)
    {
        try
        {
            Assert.NotEqual(0, (await attack()).ExitCode);
            Assert.Equal("fine\n", (await sandbox.ShellAsync("echo fine")).Stdout);
        }
        catch (SandboxException exception)
        {
            Assert.Contains(exception.Code, new[]
            {
                SandboxErrorCode.SandboxEnded, SandboxErrorCode.OutcomeUnknown, SandboxErrorCode.CommandTimedOut, SandboxErrorCode.CommandNotStarted,
            });
            Assert.NotEmpty(exception.Advice);
        }
    }
}
