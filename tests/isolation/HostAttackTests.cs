using System.Net;
using System.Net.Sockets;

namespace DoSandbox.IsolationTests;

/// <summary>Attacks from inside on the host's files, processes, network and kernel.</summary>
public sealed class HostAttackTests(SharedSandbox shared) : IClassFixture<SharedSandbox>
{
    private TestSandbox Sandbox => shared.Value;

    [Fact]
    public Task Files_of_the_host_are_not_there() => Sandbox.AttackAsync("""
        import os
        for path in ['/root', '/etc/shadow', '/etc/gshadow', '/etc/ssh', '/var/lib', '/var/log', '/run/systemd', '/sys/kernel', '/boot', '/mnt', '/media', '/opt', '/srv',
                     '/proc/1/root/root', '/dev/sda', '/dev/vda', '/dev/mem', '/dev/kmsg', '/dev/loop0', '/dev/loop-control', '/dev/fuse', '/dev/kvm']:
            try:
                if os.path.isdir(path): os.listdir(path); print('ESCAPED', path)
                elif os.path.lexists(path): open(path, 'rb').read(1); print('ESCAPED', path)
            except OSError: pass
        if os.listdir('/home') != ['sandbox']: print('ESCAPED', os.listdir('/home'))
        names = {line.split(':')[0] for line in open('/etc/passwd')}
        if names != {'root', 'sandbox', 'nobody'}: print('ESCAPED', names)
        """);

    [Fact]
    public async Task Files_and_sockets_of_other_sandboxes_are_not_there()
    {
        await using var other = await TestSandbox.CreateAsync();
        await other.ShellAsync("echo secret > /app/secret; echo secret > /tmp/secret");
        await Sandbox.AttackAsync($$"""
            import os, socket
            if os.path.exists('/app/secret') or os.path.exists('/tmp/secret'): print('ESCAPED own')
            for path in ['{{other.Folder}}', '{{StateHome.Path}}', '/var/lib/dosandbox']:
                if os.path.exists(path): print('ESCAPED', path)
            for path in ['{{other.Folder}}/agent.sock', '{{other.Folder}}/control.sock', '{{Sandbox.Folder}}/agent.sock']:
                try: socket.socket(socket.AF_UNIX).connect(path); print('ESCAPED', path)
                except OSError: pass
            for line in open('/proc/net/unix'):
                if 'agent.sock' in line or 'control.sock' in line: print('named', line.split()[-1])
            """);
    }

    [Fact]
    public Task Processes_of_the_host_are_neither_seen_nor_reached() => Sandbox.AttackAsync($$"""
        import os, ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        pids = [int(p) for p in os.listdir('/proc') if p.isdigit()]
        if len(pids) > 20: print('ESCAPED', pids)
        host = {{Environment.ProcessId}}
        if host not in pids:
            try: os.kill(host, 0); print('ESCAPED kill')
            except OSError: pass
            if libc.ptrace(16, host, 0, 0) == 0: print('ESCAPED ptrace')
        """);

    [Fact]
    public async Task The_hosts_loopback_is_out_of_reach()
    {
        using var server = new TcpListener(IPAddress.Loopback, 0);
        server.Start();
        var port = ((IPEndPoint)server.LocalEndpoint).Port;
        await Sandbox.AttackAsync($$"""
            import socket
            for family, address in [(socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1'), (socket.AF_INET6, '::ffff:127.0.0.1')]:
                try:
                    s = socket.socket(family); s.settimeout(2); s.connect((address, {{port}})); print('ESCAPED', address)
                except OSError: pass
            """);
        Assert.False(server.Pending());
    }

    [Fact]
    public Task There_is_no_interface_but_its_own_loopback_and_no_route() => Sandbox.AttackAsync("""
        import os, socket
        names = [name for _, name in socket.if_nameindex()]
        if names != ['lo']: print('ESCAPED', names)
        if len(open('/proc/net/route').read().splitlines()) > 1: print('ESCAPED route')
        own = socket.socket(); own.bind(('127.0.0.1', 0)); own.listen()
        socket.create_connection(own.getsockname(), 2)
        """);

    [RootFact]
    public async Task A_server_in_another_network_namespace_is_out_of_reach()
    {
        var name = $"dosbx{Environment.ProcessId}";
        await HostShell.RunAsync($"ip netns add {name} && ip link add {name}h type veth peer name {name}n && ip link set {name}n netns {name}"
            + $" && ip addr add 10.213.77.1/30 dev {name}h && ip link set {name}h up && ip -n {name} addr add 10.213.77.2/30 dev {name}n && ip -n {name} link set {name}n up && ip -n {name} link set lo up");
        try
        {
            using var server = HostShell.Start($"exec ip netns exec {name} python3 -c \"import socket; s=socket.socket(); s.bind(('10.213.77.2',7777)); s.listen(); print('up', flush=True); s.accept(); s.accept()\"");
            Assert.Equal("up", await server.StandardOutput.ReadLineAsync());

            // From the host it can be reached, so the attack fails for the right reason.
            using (var client = new TcpClient())
            {
                await client.ConnectAsync(IPAddress.Parse("10.213.77.2"), 7777).WaitAsync(TimeSpan.FromSeconds(5));
            }

            await Sandbox.AttackAsync("""
                import socket
                for address in ['10.213.77.2', '10.213.77.1']:
                    try:
                        s = socket.socket(); s.settimeout(2); s.connect((address, 7777)); print('ESCAPED', address)
                    except OSError: pass
                """);
            server.Kill(entireProcessTree: true);
        }
        finally
        {
            await HostShell.RunAsync($"ip link del {name}h; ip netns del {name}");
        }
    }

    [Fact]
    public Task Nothing_of_the_system_can_be_written() => Sandbox.AttackAsync("""
        import os
        for path in ['/usr/x', '/usr/bin/x', '/usr/local/bin/x', '/bin/x', '/lib/x', '/etc/x', '/etc/passwd', '/etc/hosts', '/x', '/var/x', '/run/x', '/dev/x',
                     '/home/x', '/.dosandbox/x', '/.dosandbox/dosandbox-agent', '/proc/sys/kernel/hostname', '/proc/sys/kernel/core_pattern', '/proc/sysrq-trigger', '/sys/x']:
            try:
                with open(path, 'a') as f: f.write('x')
                print('ESCAPED', path)
            except OSError: pass
        for path in ['/usr/bin/python3', '/etc/passwd', '/usr']:
            for change in (lambda: os.chmod(path, 0o777), lambda: os.unlink(path), lambda: os.rename(path, path + 'x'), lambda: os.chown(path, 1000, 1000)):
                try: change(); print('ESCAPED', path)
                except OSError: pass
        """);

    [Fact]
    public Task Mounts_and_namespaces_are_refused() => Sandbox.AttackAsync("""
        import ctypes, os
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0: print('ESCAPED mount')
        if libc.mount(b'/usr', b'/tmp', None, 4096, None) == 0: print('ESCAPED bind')
        if libc.mount(None, b'/', None, 32, None) == 0: print('ESCAPED remount')
        if libc.umount2(b'/proc', 2) == 0: print('ESCAPED umount')
        for flag in (0x10000000, 0x00020000, 0x40000000, 0x20000000, 0x04000000, 0x08000000, 0x02000000, 0x80):
            if libc.unshare(flag) == 0: print('ESCAPED unshare', hex(flag))
        stack = ctypes.create_string_buffer(65536)
        for flag in (0x10000000, 0x40000000, 0x20000000):
            pid = libc.syscall(56, flag | 17, 0, 0, 0, 0)
            if pid == 0: os._exit(0)
            if pid > 0: print('ESCAPED clone', hex(flag))
        if libc.syscall(435, 0, 0) != -1 or ctypes.get_errno() != 38: print('ESCAPED clone3')
        for name in ('mnt', 'net', 'user', 'pid'):
            fd = os.open(f'/proc/self/ns/{name}', os.O_RDONLY)
            if libc.setns(fd, 0) == 0: print('ESCAPED setns', name)
        if libc.chroot(b'/tmp') == 0: print('ESCAPED chroot')
        """);

    [Fact]
    public Task Privileges_cannot_be_raised() => Sandbox.AttackAsync("""
        import os, subprocess
        status = dict(line.split(':', 1) for line in open('/proc/self/status'))
        for key in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'):
            if int(status[key], 16) != 0: print('ESCAPED', key, status[key])
        if status['NoNewPrivs'].strip() != '1' or status['Seccomp'].strip() != '2': print('ESCAPED', status['NoNewPrivs'], status['Seccomp'])
        if os.getresuid() != (1000, 1000, 1000) or os.getresgid() != (1000, 1000, 1000): print('ESCAPED', os.getresuid())
        for call in (lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.seteuid(0), lambda: os.setgroups([0]), lambda: os.setresuid(0, 0, 0)):
            try: call(); print('ESCAPED set*id')
            except OSError: pass
        with open('/tmp/id', 'wb') as f: f.write(open('/usr/bin/id', 'rb').read())
        os.chmod('/tmp/id', 0o6755)
        if subprocess.run(['/tmp/id', '-u'], capture_output=True, text=True).stdout.strip() != '1000': print('ESCAPED own setuid')
        for program in ('/usr/bin/su', '/usr/bin/sudo', '/usr/bin/passwd', '/usr/bin/mount', '/usr/bin/newuidmap', '/usr/bin/bwrap'):
            if os.path.exists(program):
                done = subprocess.run([program, '-c', 'id -u'] if program.endswith('su') else [program, '--ro-bind', '/', '/', 'id'], capture_output=True, text=True, stdin=subprocess.DEVNULL)
                if done.stdout.strip() == '0' or 'uid=0' in done.stdout: print('ESCAPED', program)
        """);

    [Fact]
    public Task Calls_into_the_kernels_less_trodden_parts_are_refused() => Sandbox.AttackAsync("""
        import ctypes, socket
        libc = ctypes.CDLL(None, use_errno=True)
        def refused(number, *arguments, errors=(1, 38)):
            if libc.syscall(number, *arguments) != -1 or ctypes.get_errno() not in errors: print('ESCAPED', number, ctypes.get_errno())
        for number in (425, 426, 427, 424, 438): refused(number, 0, 0, 0, 0, 0, errors=(38,))
        for number in (321, 298, 323, 248, 249, 250, 304, 300, 175, 313, 176, 246, 320, 169, 103, 163, 167, 168, 279, 312, 429, 430, 442): refused(number, 0, 0, 0, 0, 0, errors=(1,))
        refused(0x40000000 + 39, errors=(38,))
        for family in (40, 38, 17, 16 + 1, 29, 31, 44):
            try: socket.socket(family, socket.SOCK_STREAM); print('ESCAPED family', family)
            except OSError as e:
                if e.errno not in (97, 94): print('ESCAPED family', family, e)
        for protocol in (4, 9, 12, 15):
            try: socket.socket(16, socket.SOCK_RAW, protocol); print('ESCAPED netlink', protocol)
            except OSError: pass
        """);
}
