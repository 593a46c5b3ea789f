using System.Diagnostics;
using DoSandbox.Backends.Local;
using DoSandbox.Errors;
using DoSandbox.Sandboxes;

namespace DoSandbox.IsolationTests;

/// <summary>Killed processes, and hosts that cannot hold a sandbox: a clear error with advice, nothing left running, nothing half-made.</summary>
public sealed class FaultTests
{
    [RootFact]
    public async Task A_killed_supervisor_takes_its_sandbox_with_it_and_the_next_client_cleans_up()
    {
        await using var sandbox = await TestSandbox.CreateAsync();
        var record = sandbox.Record;
        var running = sandbox.ShellAsync("sleep 300", 60);
        Kill(record.SupervisorPid);
        var lost = await Assert.ThrowsAsync<SandboxException>(() => running);
        Assert.Contains(lost.Code, new[] { SandboxErrorCode.SandboxEnded, SandboxErrorCode.OutcomeUnknown });
        await TestSandbox.AssertGoneAsync(record.HostUid!.Value);
        var seen = Assert.Single(await ListAsync(sandbox.Backend), found => found.Id == record.Id);
        Assert.Equal(SandboxState.Failed, seen.State);
        Assert.Contains("supervisor was killed", seen.StateReason, StringComparison.Ordinal);
        Assert.False(File.Exists(Path.Combine(sandbox.Folder, "disk.img")));
        Assert.DoesNotContain(record.ControlGroups, Directory.Exists);
        Assert.DoesNotContain(record.Id, File.ReadAllText("/proc/mounts"), StringComparison.Ordinal);
        await AssertDetachedAsync(record.Id);
    }

    [RootFact]
    public async Task A_supervisor_killed_while_bubblewrap_starts_leaves_nothing()
    {
        var backend = new LocalBackend();
        var agent = Path.Combine(Path.GetDirectoryName(SandboxProgram.Path)!, "agent", "linux-x64", "dosandbox-agent");
        for (var attempt = 0; attempt < 12; attempt++)
        {
            var name = $"early-{Guid.NewGuid():N}";
            using var supervisor = Process.Start(new ProcessStartInfo(agent, ["supervise"]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false })!;
            await supervisor.StandardInput.WriteAsync($$"""{"stateFolder":"{{StateHome.Path}}","limits":{"diskMB":64,"memoryMB":128},"name":"{{name}}","image":"python","bubblewrap":"/usr/bin/bwrap"}""");
            supervisor.StandardInput.Close();

            // The child is bubblewrap; before it there is only mkfs, which has no cgroup.procs of ours to be in.
            var children = $"/proc/{supervisor.Id}/task/{supervisor.Id}/children";
            while (!supervisor.HasExited && !Started(children))
            {
                Thread.SpinWait(100);
            }

            Thread.SpinWait(attempt * 20_000);
            supervisor.Kill();
            await supervisor.WaitForExitAsync();
            var left = (await ListAsync(backend)).SingleOrDefault(sandbox => sandbox.Name == name);
            if (left is not null)
            {
                await backend.DeleteAsync(left, CancellationToken.None);
            }

            Assert.DoesNotContain(await ListAsync(backend), sandbox => sandbox.Name == name);
        }

        Assert.Equal("", await HostShell.RunAsync($"pgrep -f '^bwrap --args' | while read p; do [ \"$(ps -o ppid= -p $p | tr -d ' ')\" = 1 ] && echo $p; done; true"));

        static bool Started(string children)
        {
            try
            {
                return File.ReadAllText(children).Split(' ', StringSplitOptions.RemoveEmptyEntries).Any(child => File.ReadAllText($"/proc/{child}/comm").StartsWith("bwrap", StringComparison.Ordinal));
            }
            catch (IOException)
            {
                return false;
            }
        }
    }

    [RootFact]
    public async Task A_killed_agent_ends_the_sandbox_and_frees_nobody()
    {
        await using var sandbox = await TestSandbox.CreateAsync();
        var uid = sandbox.Record.HostUid!.Value;
        var running = sandbox.ShellAsync("sleep 300", 60);
        var agent = sandbox.HostProcesses().Single(pid => File.ReadAllText($"/proc/{pid}/cmdline").Contains("\0serve\0", StringComparison.Ordinal)
            && File.ReadAllText($"/proc/{pid}/cmdline").StartsWith("/.dosandbox/", StringComparison.Ordinal));
        Kill(agent);
        await Assert.ThrowsAsync<SandboxException>(() => running);
        await TestSandbox.AssertGoneAsync(uid);
        var seen = (await sandbox.Backend.GetAsync(sandbox.Sandbox.Id, CancellationToken.None))!;
        Assert.Equal(SandboxState.Ended, seen.State);
        Assert.Contains("signal 9", seen.StateReason, StringComparison.Ordinal);
        var refused = await Assert.ThrowsAsync<SandboxException>(() => sandbox.Backend.ConnectAsync(sandbox.Sandbox, CancellationToken.None));
        Assert.Equal(SandboxErrorCode.SandboxEnded, refused.Code);
        Assert.NotEmpty(refused.Advice);
    }

    [RootFact]
    public async Task A_client_killed_in_the_middle_of_a_command_leaves_the_command_running_and_nothing_on_the_host()
    {
        await using var sandbox = await TestSandbox.CreateAsync();
        using (var client = HostShell.Start($"exec {SandboxProgram.Path} exec {sandbox.Sandbox.Name} 'echo started; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo $$ > /app/went-on; exec sleep 300'"))
        {
            Assert.Equal("started", await client.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(20)));
            client.Kill();
            await client.WaitForExitAsync();
        }

        await sandbox.ShellAsync("touch /tmp/go; i=0; while [ ! -s /app/went-on ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; kill $(cat /app/went-on)");
        Assert.DoesNotContain(sandbox.HostProcesses(), pid => File.ReadAllText($"/proc/{pid}/cmdline").Contains("sleep\0" + "300", StringComparison.Ordinal));
    }

    [RootFact]
    public async Task A_client_killed_in_the_middle_of_an_upload_leaves_nothing_half_made()
    {
        await using var sandbox = await TestSandbox.CreateAsync();
        var source = $"/tmp/dosbx-source-{Guid.NewGuid():N}";
        await HostShell.RunAsync($"truncate -s 3G {source}");
        try
        {
            await sandbox.ShellAsync("echo before > /app/file");
            using var client = HostShell.Start($"exec {SandboxProgram.Path} upload --force {sandbox.Sandbox.Name} {source} /app/file");
            var seen = await sandbox.ShellAsync("i=0; while [ \"$(ls -A /app | wc -l)\" -lt 2 ] && [ $i -lt 400 ]; do sleep 0.05; i=$((i+1)); done; ls -A /app | wc -l");
            client.Kill();
            await client.WaitForExitAsync();
            Assert.Equal("2\n", seen.Stdout);
            var after = await sandbox.ShellAsync("i=0; while [ \"$(ls -A /app)\" != file ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; ls -A /app; cat /app/file");
            Assert.Equal("file\nbefore\n", after.Stdout);
        }
        finally
        {
            File.Delete(source);
        }
    }

    [RootFact]
    public async Task A_sandbox_whose_client_died_before_it_was_ready_ends_by_itself()
    {
        await using var other = await TestSandbox.CreateAsync();
        var name = $"orphan-{Guid.NewGuid():N}";
        var agent = Path.Combine(Path.GetDirectoryName(SandboxProgram.Path)!, "agent", "linux-x64", "dosandbox-agent");
        await HostShell.RunAsync($$"""echo '{"stateFolder":"{{StateHome.Path}}","limits":{"diskMB":64},"name":"{{name}}","image":"python","bubblewrap":"/usr/bin/bwrap"}' | {{agent}} supervise | true""");
        var state = "";
        for (var attempt = 0; attempt < 200 && !state.Contains("client died", StringComparison.Ordinal); attempt++)
        {
            await Task.Delay(50);
            state = string.Join('|', (await ListAsync(other.Backend)).Where(sandbox => sandbox.Name == name).Select(sandbox => $"{sandbox.State} {sandbox.StateReason}"));
        }

        Assert.Equal("Ended its client died before it was ready", state);
        var left = (await ListAsync(other.Backend)).Single(sandbox => sandbox.Name == name);
        await other.Backend.DeleteAsync(left, CancellationToken.None);
    }

    [RootFact]
    public async Task Removing_leaves_nothing_on_the_host()
    {
        var sandbox = await TestSandbox.CreateAsync();
        var record = sandbox.Record;
        await sandbox.ShellAsync("(setsid sleep 300 &) ; nohup sleep 300 > /dev/null 2>&1 &");
        await sandbox.DisposeAsync();
        Assert.Empty(TestSandbox.ProcessesOf(record.HostUid!.Value));
        Assert.False(Directory.Exists(sandbox.Folder));
        Assert.DoesNotContain(record.ControlGroups, Directory.Exists);
        await AssertDetachedAsync(record.Id);
        Assert.False(File.Exists($"/proc/{record.SupervisorPid}/exe"));
        Assert.Null(await sandbox.Backend.GetAsync(record.Id, CancellationToken.None));
        Assert.Null(new FileInfo(Path.Combine(StateHome.Path, "names", record.Name)).LinkTarget);
    }

    [RootFact]
    public async Task Names_are_unique_also_when_taken_at_the_same_time()
    {
        var backend = new LocalBackend();
        var name = $"one-{Guid.NewGuid():N}"[..20];
        var attempts = Enumerable.Range(0, 6).Select(_ => backend.CreateAsync(new SandboxSpec { Name = name }, null, CancellationToken.None)).ToList();
        var made = new List<Sandbox>();
        foreach (var attempt in attempts)
        {
            try
            {
                made.Add(await attempt);
            }
            catch (SandboxException exception)
            {
                Assert.Equal(SandboxErrorCode.NameTaken, exception.Code);
                Assert.Contains(name, exception.Message, StringComparison.Ordinal);
            }
        }

        await backend.DeleteAsync(Assert.Single(made), CancellationToken.None);
        var again = await backend.CreateAsync(new SandboxSpec { Name = name }, null, CancellationToken.None);
        await backend.DeleteAsync(again, CancellationToken.None);
    }

    [Fact]
    public async Task What_bubblewrap_says_is_told_and_nothing_of_the_sandbox_stays()
    {
        var folder = Directory.CreateTempSubdirectory("dosbx-broken").FullName;
        try
        {
            var program = Path.Combine(folder, "bwrap");
            File.WriteAllText(program, "#!/bin/sh\n[ \"$1\" = --version ] && echo 'bubblewrap 0.9.0' && exit 0\necho 'bwrap: the moon is full' >&2\nexit 1\n");
            File.SetUnixFileMode(folder, (UnixFileMode)0b111_101_101);
            File.SetUnixFileMode(program, (UnixFileMode)0b111_101_101);
            var before = await ListAsync(new LocalBackend());
            var (exitCode, output) = await CreateElsewhereAsync(StateHome.Path, $"PATH={folder}:/usr/bin:/bin");
            Assert.NotEqual(0, exitCode);
            Assert.Contains("the moon is full", output, StringComparison.Ordinal);
            Assert.DoesNotContain(await ListAsync(new LocalBackend()), sandbox => sandbox.State == SandboxState.Failed && before.TrueForAll(known => known.Id != sandbox.Id));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [RootFact]
    public async Task A_read_only_state_folder_is_told()
    {
        var folder = $"/tmp/dosbx-ro-{Environment.ProcessId}";
        await HostShell.RunAsync($"mkdir -p {folder} && mount -t tmpfs -o ro none {folder}");
        try
        {
            var (exitCode, output) = await CreateElsewhereAsync(folder);
            Assert.NotEqual(0, exitCode);
            Assert.Contains("Read-only file system", output, StringComparison.Ordinal);
            Assert.Contains("DOSANDBOX_HOME", output, StringComparison.Ordinal);
        }
        finally
        {
            await HostShell.RunAsync($"umount {folder} && rmdir {folder}");
        }
    }

    [RootFact]
    public async Task A_full_state_folder_is_told_and_left_empty()
    {
        var folder = $"/tmp/dosbx-full-{Environment.ProcessId}";
        await HostShell.RunAsync($"mkdir -p {folder} && mount -t tmpfs -o size=600k,mode=711 none {folder}");
        try
        {
            var (exitCode, output) = await CreateElsewhereAsync(folder);
            Assert.NotEqual(0, exitCode);
            Assert.Contains("No space left on device", output, StringComparison.Ordinal);
            Assert.Empty(Directory.GetFileSystemEntries(Path.Combine(folder, "sandboxes")));
            Assert.Empty(Directory.GetFileSystemEntries(Path.Combine(folder, "names")));
        }
        finally
        {
            await HostShell.RunAsync($"umount {folder} && rmdir {folder}");
        }
    }

    [Fact]
    public async Task Missing_bubblewrap_is_told_with_the_way_to_get_it()
    {
        var (exitCode, output) = await CreateElsewhereAsync(StateHome.Path, "PATH=/nonexistent");
        Assert.NotEqual(0, exitCode);
        Assert.Contains("bubblewrap (bwrap) is not on PATH", output, StringComparison.Ordinal);
        Assert.Contains("apt-get install bubblewrap", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bubblewrap_that_is_too_old_is_told()
    {
        var folder = Directory.CreateTempSubdirectory("dosbx-old").FullName;
        try
        {
            var program = Path.Combine(folder, "bwrap");
            File.WriteAllText(program, "#!/bin/sh\n[ \"$1\" = --version ] && echo 'bubblewrap 0.4.1' && exit 0\necho 'bwrap: Unknown option --disable-userns' >&2\nexit 1\n");
            File.SetUnixFileMode(folder, (UnixFileMode)0b111_101_101);
            File.SetUnixFileMode(program, (UnixFileMode)0b111_101_101);
            var (exitCode, output) = await CreateElsewhereAsync(StateHome.Path, $"PATH={folder}:/usr/bin:/bin");
            Assert.NotEqual(0, exitCode);
            Assert.Contains("too old", output, StringComparison.Ordinal);
            Assert.Contains("0.4.1", output, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [RootFact]
    public async Task Forbidden_user_namespaces_are_told()
    {
        var home = $"/tmp/dosbx-nouserns-{Environment.ProcessId}";
        await HostShell.RunAsync($"mkdir -p {home} && chown 4242:4242 {home}");
        var script = Path.GetTempFileName();
        await File.WriteAllTextAsync(script, """
            import ctypes, os, sys
            entered, mapped = os.pipe(), os.pipe()
            child = os.fork()
            if child == 0:
                if ctypes.CDLL(None).unshare(0x10000000) != 0: os._exit(99)
                os.write(entered[1], b'x'); os.read(mapped[0], 1)
                with open('/proc/sys/user/max_user_namespaces', 'w') as f: f.write('0')
                os.setgroups([]); os.setresgid(4242, 4242, 4242); os.setresuid(4242, 4242, 4242)
                os.execv(sys.argv[1], sys.argv[1:])
            os.read(entered[0], 1)
            for name in ('uid_map', 'gid_map'):
                with open(f'/proc/{child}/{name}', 'w') as f: f.write('0 0 100000')
            os.write(mapped[1], b'x')
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            """);
        try
        {
            // A user namespace whose own limit on further ones is 0 stands for a machine that forbids them.
            var (exitCode, output) = await CreateElsewhereAsync(home, "", $"python3 {script}");
            Assert.NotEqual(0, exitCode);
            Assert.Contains("user namespaces", output, StringComparison.Ordinal);
            Assert.Contains("max_user_namespaces", output, StringComparison.Ordinal);
            Assert.Empty(Directory.GetFileSystemEntries(Path.Combine(home, "sandboxes")));
        }
        finally
        {
            Directory.Delete(home, recursive: true);
            File.Delete(script);
        }
    }

    /// <summary>The kernel detaches a loop device a moment after the last process that saw its mount is gone.</summary>
    private static async Task AssertDetachedAsync(string id)
    {
        string devices;
        var attempts = 0;
        while ((devices = await HostShell.RunAsync("losetup -a")).Contains(id, StringComparison.Ordinal) && attempts++ < 100)
        {
            await Task.Delay(50);
        }

        Assert.DoesNotContain(id, devices, StringComparison.Ordinal);
    }

    private static void Kill(int pid)
    {
        using var process = Process.GetProcessById(pid);
        process.Kill();
    }

    private static async Task<List<Sandbox>> ListAsync(LocalBackend backend)
    {
        var found = new List<Sandbox>();
        await foreach (var sandbox in backend.ListAsync(CancellationToken.None))
        {
            found.Add(sandbox);
        }

        return found;
    }

    /// <summary>Runs `sandbox create` in an environment of its own, and removes what it made should it work.</summary>
    private static async Task<(int ExitCode, string Output)> CreateElsewhereAsync(string home, string environment = "", string prefix = "")
    {
        using var process = HostShell.Start($"DOSANDBOX_HOME={home} {environment} {prefix} {SandboxProgram.Path} create --image python 2>&1");
        var output = await process.StandardOutput.ReadToEndAsync().WaitAsync(TimeSpan.FromSeconds(60));
        await process.WaitForExitAsync();
        return (process.ExitCode, output);
    }
}
