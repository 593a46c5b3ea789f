namespace DoSandbox.IsolationTests;

/// <summary>Attacks from inside on the agent, which runs as process 1 with the uid of the user's code.</summary>
public sealed class AgentAttackTests(SharedSandbox shared) : IClassFixture<SharedSandbox>
{
    private TestSandbox Sandbox => shared.Value;

    [Fact]
    public Task Its_memory_environment_and_descriptors_are_closed() => Sandbox.AttackAsync("""
        import os, ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        for path in ('mem', 'environ', 'maps', 'smaps', 'auxv', 'pagemap', 'syscall', 'stack', 'io', 'personality'):
            try:
                with open(f'/proc/1/{path}', 'rb') as f:
                    if f.read(1): print('ESCAPED', path)
            except OSError: pass
        for path in ('fd', 'map_files', 'fdinfo'):
            try: os.listdir(f'/proc/1/{path}'); print('ESCAPED', path)
            except OSError: pass
        for path in ('exe', 'cwd', 'root'):
            try: os.readlink(f'/proc/1/{path}'); print('ESCAPED', path)
            except OSError: pass
        try:
            with open('/proc/1/mem', 'r+b') as f: print('ESCAPED mem')
        except OSError: pass
        for request in (16, 0x4206):
            if libc.ptrace(request, 1, 0, 0) == 0: print('ESCAPED ptrace')
        class Vector(ctypes.Structure): _fields_ = [('base', ctypes.c_void_p), ('length', ctypes.c_size_t)]
        buffer = ctypes.create_string_buffer(8)
        local = Vector(ctypes.cast(buffer, ctypes.c_void_p), 8); remote = Vector(0x400000, 8)
        for number in (310, 311):
            if libc.syscall(number, 1, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) > 0: print('ESCAPED vm', number)
        pidfd = libc.syscall(434, 1, 0)
        if pidfd >= 0:
            for fd in range(16):
                if libc.syscall(438, pidfd, fd, 0) >= 0: print('ESCAPED pidfd_getfd')
        for name in ('oom_score_adj', 'comm', 'coredump_filter', 'timerslack_ns'):
            try:
                with open(f'/proc/1/{name}', 'w') as f: f.write('1')
                print('ESCAPED', name)
            except OSError: pass
        """);

    [Fact]
    public async Task No_signal_and_no_limit_reaches_it()
    {
        await Sandbox.AttackAsync("""
            import os, ctypes, signal
            libc = ctypes.CDLL(None, use_errno=True)
            for number in range(1, 65):
                try: os.kill(1, number)
                except OSError: pass
                info = ctypes.create_string_buffer(128)
                ctypes.cast(info, ctypes.POINTER(ctypes.c_int))[0] = number
                ctypes.cast(info, ctypes.POINTER(ctypes.c_int))[2] = -1
                libc.syscall(129, 1, number, info)
                libc.syscall(297, 1, 1, number, info)
                for thread in os.listdir('/proc/1/task'):
                    libc.syscall(234, 1, int(thread), number)
                    libc.syscall(200, int(thread), number)
                pidfd = libc.syscall(434, 1, 0)
                if pidfd >= 0:
                    libc.syscall(424, pidfd, number, 0, 0); os.close(pidfd)
            class Limit(ctypes.Structure): _fields_ = [('soft', ctypes.c_ulong), ('hard', ctypes.c_ulong)]
            for resource in (0, 1, 3, 6, 7):
                if libc.syscall(302, 1, resource, ctypes.byref(Limit(1, 1)), None) == 0: print('ESCAPED prlimit', resource)
            """);
        Assert.Equal("alive\n", (await Sandbox.ShellAsync("echo alive")).Stdout);
    }

    [Fact]
    public async Task A_planted_configuration_opens_nothing()
    {
        await using var sandbox = await TestSandbox.CreateAsync();
        await sandbox.AttackAsync("""
            import json, os, socket
            planted = json.dumps({'Kestrel': {'Endpoints': {'Http': {'Url': 'http://127.0.0.1:5123'}}}, 'urls': 'http://127.0.0.1:5124'})
            for folder in ('/app', '/home/sandbox', '/tmp', '/workspace', os.getcwd()):
                for name in ('appsettings.json', 'appsettings.Production.json', 'dosandbox-agent.runtimeconfig.json'):
                    with open(os.path.join(folder, name), 'w') as f: f.write(planted)
            """);
        await sandbox.AttackAsync("""
            import socket
            for port in (5123, 5124, 5000, 5001, 44772, 8080, 80):
                try: socket.create_connection(('127.0.0.1', port), 1); print('ESCAPED', port)
                except OSError: pass
            for path in ('/proc/net/tcp', '/proc/net/tcp6'):
                if len(open(path).read().splitlines()) > 1: print('ESCAPED', path)
            """);
    }

    [Fact]
    public async Task A_command_inherits_only_its_three_streams()
    {
        var result = await Sandbox.ShellAsync("ls -1 /proc/self/fd; ls -l /proc/self/fd | grep -c socket");

        // The fourth is the folder that ls reads.
        Assert.Equal("0\n1\n2\n3\n0\n", result.Stdout);
    }

    [RootFact]
    public async Task What_escapes_its_session_twice_is_gone_after_a_time_out()
    {
        var marker = $"escapee{Guid.NewGuid():N}";
        var timedOut = await Assert.ThrowsAsync<Errors.CommandException>(() => Sandbox.PythonAsync($$"""
            import os, time
            for step in range(2):
                if os.fork():
                    if step: os._exit(0)
                    time.sleep(60)
                os.setsid()
            os.closerange(0, 100)
            os.chdir('/')
            os.execve('/bin/sh', ['sh', '-c', 'while :; do sleep 0.2; done', '{{marker}}'], {})
            """, timeoutSeconds: 3));
        Assert.Equal(Errors.SandboxErrorCode.CommandTimedOut, timedOut.Code);
        Assert.Equal(0, CountOnHost(marker));
    }

    [Fact]
    public async Task A_chain_that_forks_faster_than_one_can_look_is_gone_after_a_time_out()
    {
        // What must survive all of it: a program that runs, and one that stands still.
        var bystander = Sandbox.ShellAsync("sleep 987651 & kill -STOP $!; while [ ! -e /tmp/enough ]; do sleep 0.05; done; ps -o state= -p $!; kill -KILL $!; echo unhurt", 120);
        for (var round = 0; round < 3; round++)
        {
            var chains = Enumerable.Range(0, 3).Select(async chain =>
            {
                var file = $"/tmp/chain{round}-{chain}";
                var timedOut = await Assert.ThrowsAsync<Errors.CommandException>(() => Sandbox.PythonAsync($"""
                    import fcntl, os, time
                    lock = os.open('{file}', os.O_CREAT | os.O_RDWR)
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    if os.fork(): time.sleep(60)
                    while True:
                        if os.fork(): os._exit(0)
                        os.setsid()
                    """, timeoutSeconds: 1));
                Assert.Equal(Errors.SandboxErrorCode.CommandTimedOut, timedOut.Code);

                // Every link of the chain holds the lock.
                Assert.Equal("free\n", (await Sandbox.PythonAsync($"""
                    import fcntl, os
                    try: fcntl.flock(os.open('{file}', os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')
                    except OSError: print('held')
                    """)).Stdout);
            });
            await Task.WhenAll(chains);
        }

        await Sandbox.ShellAsync("touch /tmp/enough");
        Assert.Equal("T\nunhurt\n", (await bystander).Stdout);
    }

    [RootFact]
    public async Task What_takes_its_mark_off_is_gone_after_a_time_out_and_what_another_command_left_stays()
    {
        var left = $"left{Guid.NewGuid():N}";
        await Sandbox.PythonAsync($$"""
            import os
            if os.fork(): os._exit(0)
            os.setsid()
            os.closerange(0, 100)
            os.execve('/bin/sh', ['sh', '-c', 'while :; do sleep 0.2; done', '{{left}}'], {})
            """);
        var other = Sandbox.PythonAsync("""
            import os, resource, time
            resource.setrlimit(15, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            while not os.path.exists('/tmp/unmarked-enough'): time.sleep(0.05)
            print('unhurt')
            """, 60);
        var marker = $"unmarked{Guid.NewGuid():N}";
        await Assert.ThrowsAsync<Errors.CommandException>(() => Sandbox.PythonAsync($$"""
            import os, resource, time
            for step in range(2):
                if os.fork():
                    if step: os._exit(0)
                    time.sleep(60)
                os.setsid()
            resource.setrlimit(15, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            os.closerange(0, 100)
            os.chdir('/')
            os.execve('/bin/sh', ['sh', '-c', 'while :; do sleep 0.2; done', '{{marker}}'], {})
            """, timeoutSeconds: 2));
        Assert.Equal(0, CountOnHost(marker));

        // One, or for a moment two: the shell's child bears its name until it has become sleep.
        Assert.InRange(CountOnHost(left), 1, 2);
        await Sandbox.ShellAsync("touch /tmp/unmarked-enough");
        Assert.Equal("unhurt\n", (await other).Stdout);
    }

    [Fact]
    public async Task An_environment_of_gigabytes_costs_the_agent_nothing()
    {
        var liar = Sandbox.PythonAsync("""
            import ctypes, os, struct, time
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_void_p
            size = 6 << 30
            area = libc.mmap(None, ctypes.c_size_t(size), 3, 0x4022, -1, 0)
            stat = open('/proc/self/stat').read().rpartition(')')[2].split()
            code, data, start_brk, stack = stat[23:25], stat[42:44], stat[44], stat[25]
            libc.syscall.restype = ctypes.c_long
            map = struct.pack('12QIi', *(int(n) for n in (*code, *data, start_brk, libc.syscall(12, 0), stack)), area, area + 4096, area, area + size - 1, 0, 0, -1)
            print('refused' if libc.prctl(35, 14, ctypes.c_char_p(map), ctypes.c_ulong(len(map)), ctypes.c_ulong(0)) else 'lying')
            open('/tmp/lying', 'w').close()
            while not os.path.exists('/tmp/lied-enough'): time.sleep(0.05)
            """, 60);
        var timedOut = await Assert.ThrowsAsync<Errors.CommandException>(() => Sandbox.ShellAsync("while [ ! -e /tmp/lying ]; do sleep 0.05; done; sleep 60", 5));
        Assert.Equal(Errors.SandboxErrorCode.CommandTimedOut, timedOut.Code);
        await Sandbox.ShellAsync("touch /tmp/lied-enough");
        Assert.Equal("lying\n", (await liar).Stdout);
    }

    private int CountOnHost(string text) => Sandbox.HostProcesses().Count(pid =>
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/cmdline").Contains(text, StringComparison.Ordinal);
        }
        catch (IOException)
        {
            // It ended meanwhile.
            return false;
        }
    });
}
