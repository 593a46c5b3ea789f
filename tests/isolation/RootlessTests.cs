namespace DoSandbox.IsolationTests;

/// <summary>The same backend as a user without rights, in a state folder of that user's own.</summary>
public sealed class RootlessTests
{
    [RootFact]
    public async Task A_user_without_rights_makes_uses_and_removes_a_sandbox()
    {
        var home = $"/tmp/dosbx-user-{Environment.ProcessId}";
        await HostShell.RunAsync($"mkdir -p {home} && chown 4243:4243 {home}");
        var sandbox = $"setpriv --reuid 4243 --regid 4243 --clear-groups env HOME={home} DOSANDBOX_HOME={home}/state {SandboxProgram.Path}";
        try
        {
            Assert.Equal("user\n", await HostShell.RunAsync($"{sandbox} create --name user"));
            Assert.Equal("1000\n0\n", await HostShell.RunAsync($"{sandbox} exec user 'id -u; ls /sys/class/net /root 2>/dev/null | wc -l'"));
            Assert.Equal("refused\n", await HostShell.RunAsync($"{sandbox} exec user 'i=0; while [ $i -lt 900 ]; do sleep 9 & i=$((i+1)); done' >/dev/null 2>&1 && echo all || echo refused"));
            Assert.InRange(int.Parse(await HostShell.RunAsync($"{sandbox} exec user 'ulimit -Hu'")), 512, 512 + 64);
            Assert.Equal("still\n", await HostShell.RunAsync($"{sandbox} exec user 'echo still'"));
            Assert.Contains("--memory-mb cannot be enforced", await HostShell.RunAsync($"{sandbox} create --name limited --memory-mb 200 2>&1 || true"), StringComparison.Ordinal);
            Assert.Contains("--disk-mb cannot be enforced", await HostShell.RunAsync($"{sandbox} create --name limited --disk-mb 200 2>&1 || true"), StringComparison.Ordinal);

            // Deeper than any path can name, and closed to its own owner.
            await HostShell.RunAsync($"{sandbox} exec user 'mkdir -p /tmp/closed/inside; chmod 0 /tmp/closed/inside /tmp/closed; i=0; cd /tmp; while [ $i -lt 60 ]; do n=$(printf %0200d $i); mkdir $n; cd $n; i=$((i+1)); done'");
            await HostShell.RunAsync($"{sandbox} delete user");
            Assert.Empty(Directory.GetFileSystemEntries($"{home}/state/sandboxes"));
            Assert.Empty(TestSandbox.ProcessesOf(4243));
        }
        finally
        {
            foreach (var pid in TestSandbox.ProcessesOf(4243))
            {
                await HostShell.RunAsync($"kill -9 {pid} || true");
            }

            Directory.Delete(home, recursive: true);
        }
    }
}
