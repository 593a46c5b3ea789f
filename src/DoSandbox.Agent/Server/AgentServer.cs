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

            TellReady(options.ReadyFd);
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

    private static unsafe void TellReady(int? fd)
    {
        if (fd is { } ready)
        {
            byte one = (byte)'1';
            _ = Libc.Write(ready, &one, 1);
            _ = Libc.Close(ready);
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
