using System.Text;
using DoSandbox.Agent.Native;

namespace DoSandbox.Agent.Server;

/// <summary><c>dosandbox-agent serve</c>: the program in a sandbox that answers the execd API.</summary>
internal static class AgentServer
{
    private const int MallocArenaMax = -8;

    /// <summary>Beyond the commands' own limit, which they may raise to the hard one: an agent that cannot make a thread dies.</summary>
    private const int ReservedProcesses = 64;

    /// <summary>Serves until the process is ended from outside.</summary>
    /// <returns>An exit code, only when it could not begin: 2 for wrong arguments, 1 for everything else.</returns>
    public static async Task<int> RunAsync(string[] arguments)
    {
        try
        {
            // First of all: whatever was left open by the parent must not reach a command.
            Descriptors.SealInherited();
            var options = AgentOptions.Parse(arguments);
            var environment = EnvironmentBlock.OfThisProcess();

            // Commands run under the same user id; from here on they can neither trace this process nor read its memory.
            if (Libc.Prctl(Libc.PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
            {
                throw LinuxException.Last("Cannot protect the agent");
            }

            // Orphans come to the agent also where it is not pid 1, so that a command's tree stays below it.
            _ = Libc.Prctl(Libc.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);

            // One malloc arena for all threads: memory matters more here than contention.
            _ = Libc.Mallopt(MallocArenaMax, 1);

            var token = ReadToken(options, ref environment);
            if (options.MaxProcesses is { } most)
            {
                BoundProcesses(most + ReservedProcesses);
            }

            var registry = new CommandRegistry(environment, options.MaxProcesses);
            var host = new AgentHost(options, new Dispatcher(registry, token));
            await host.StartAsync().ConfigureAwait(false);

            // After the start, so that every handler the runtime installs for itself is there to be guarded.
            if (Libc.GetPid() == 1)
            {
                SignalShield.Raise();
            }
            else
            {
                SignalShield.IgnoreBrokenPipes();
            }

            if (options.ReadyFd is { } lifeline)
            {
                await TellReadyAndOutliveNobodyAsync(lifeline).ConfigureAwait(false);
                return 1;
            }

            await Task.Delay(Timeout.Infinite).ConfigureAwait(false);
            return 0;
        }
        catch (ArgumentException e)
        {
            Complain(e.Message);
            return 2;
        }
        catch (Exception e)
        {
            Complain(e.Message);
            return 1;
        }
    }

    private static byte[]? ReadToken(AgentOptions options, ref EnvironmentBlock environment)
    {
        if (options.AccessTokenVariable is not { } name)
        {
            return null;
        }

        var token = environment.Get(name);
        environment = environment.Without(name);
        return string.IsNullOrEmpty(token)
            ? throw new ArgumentException($"The environment variable {name} holds no access token.")
            : Encoding.UTF8.GetBytes(token);
    }

    /// <summary>
    /// Writes a byte into the supervisor's pipe, and ends once nobody reads that pipe any more. bubblewrap's --die-with-parent takes hold some
    /// milliseconds after its start; a supervisor that is killed before that would leave a sandbox that nothing ends.
    /// </summary>
    private static Task TellReadyAndOutliveNobodyAsync(int fd)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        new Thread(() =>
        {
            if (WriteOne(fd))
            {
                WaitUntilUnread(fd);
            }

            ended.SetResult();
        }, 128 * 1024) { IsBackground = true, Name = "lifeline" }.Start();
        return ended.Task;
    }

    private static unsafe bool WriteOne(int fd)
    {
        byte one = (byte)'1';
        return Libc.Write(fd, &one, 1) == 1;
    }

    private static unsafe void WaitUntilUnread(int fd)
    {
        // Asks for nothing: an error condition, which a pipe without readers is, is told without being asked for.
        var poll = new Libc.PollFd { Fd = fd };
        while (Libc.Poll(&poll, 1, -1) < 0 && Libc.LastError == Libc.EINTR)
        {
        }
    }

    /// <summary>The wall for everything below this process, also where no control group counts processes (user_namespaces(7): per namespace since Linux 5.14).</summary>
    private static unsafe void BoundProcesses(int most)
    {
        Libc.RLimit limit;
        if (Libc.GetRLimit(Libc.RLIMIT_NPROC, &limit) == 0)
        {
            limit.Soft = limit.Hard = Math.Min(limit.Hard, (ulong)most);
            _ = Libc.SetRLimit(Libc.RLIMIT_NPROC, &limit);
        }
    }

    /// <summary>Without Console, which would install signal handlers of its own.</summary>
    private static unsafe void Complain(string message)
    {
        var text = Encoding.UTF8.GetBytes($"dosandbox-agent: {message}\n");
        fixed (byte* start = text)
        {
            _ = Libc.Write(2, start, (nuint)text.Length);
        }
    }
}
