using System.Diagnostics;

namespace DoSandbox.UnitTests.Agent;

public sealed class ProtectionTests
{
    [BubblewrapFact]
    public async Task As_pid_1_the_agent_survives_every_signal()
    {
        using var agent = new AgentProgram([], Wrappers.PidOne);
        Assert.Equal("1", (await agent.RunAsync("printf %s $PPID")).OutputText);
        for (var round = 0; round < 3; round++)
        {
            await agent.RunAsync("for s in $(seq 1 64); do kill -$s 1; for t in /proc/1/task/*; do kill -$s ${t##*/}; done; done 2>/dev/null");
        }

        // Faults are what a sent signal must not be taken for, most of all while managed code runs.
        var storm = agent.RunAsync("for i in $(seq 2000); do kill -SEGV 1; kill -FPE 1; kill -BUS 1; kill -ILL 1; kill -34 1; done 2>/dev/null; echo over");
        while (!storm.IsCompleted)
        {
            Assert.Equal(3000, (await agent.RunAsync("head -c 3000 /dev/zero")).Output.Length);
        }

        Assert.Equal("over\n", (await storm).OutputText);
        Assert.False(agent.HasExited);
    }

    [BubblewrapFact]
    public async Task Orphans_are_reaped()
    {
        using var agent = new AgentProgram([], Wrappers.PidOne);
        await agent.RunAsync("for i in $(seq 50); do (setsid true &) ; done");
        await Eventually.TrueAsync(async () => (await agent.RunAsync("cat /proc/[0-9]*/stat | grep -c ' Z '")).OutputText == "0\n", "no zombies are left");
    }

    [BubblewrapFact]
    public async Task Its_memory_environment_and_descriptors_are_closed_to_its_user()
    {
        using var agent = new AgentProgram([], [.. Wrappers.PidOne, "--uid", "4711", "--gid", "4711", "--cap-drop", "ALL"]);
        var outcome = await agent.RunAsync("for f in mem environ fd/0 maps; do cat /proc/1/$f 2>/dev/null && echo open $f; done; for f in 0 1 2 3 4 5 6 7; do readlink /proc/1/fd/$f; done 2>/dev/null; true");
        Assert.Equal("", outcome.OutputText);
    }

    [Fact]
    public async Task Otherwise_SIGTERM_ends_it()
    {
        using var agent = new AgentProgram();
        await agent.RunAsync("true");
        using var kill = Process.Start("kill", $"-TERM {agent.Pid}");
        await Eventually.TrueAsync(() => agent.HasExited, "the agent ends");
    }
}
