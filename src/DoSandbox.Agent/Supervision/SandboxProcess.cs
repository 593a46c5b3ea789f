using System.Globalization;
using System.Net.Sockets;
using DoSandbox.Agent.Native;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Supervision;

/// <summary>
/// bubblewrap and the agent in it, from their start until nothing of the sandbox runs. Started and reaped on the main thread, since
/// bubblewrap's --die-with-parent fires at the end of the thread that started it; killed from any.
/// </summary>
internal sealed class SandboxProcess
{
    /// <summary>Number of the descriptor by which bubblewrap reads the seccomp filter.</summary>
    public const int FilterFd = 5;

    private const int ReadyMilliseconds = 30_000;
    private const int MaxLogInError = 2000;
    private const int SignalInfoSize = 128;

    // Further descriptors of bubblewrap; the first two it hands on to the agent.
    private const int SocketFd = 3;
    private const int ReadyFd = 4;
    private const int ArgumentsFd = 6;

    private readonly ControlGroups _groups;
    private readonly Lock _signalling = new();
    private readonly SafeFileHandle _lifeline;
    private int _bubblewrap;

    private SandboxProcess(ControlGroups groups, SafeFileHandle lifeline)
    {
        _groups = groups;
        _lifeline = lifeline;
    }

    /// <summary>Starts bubblewrap in the control groups that this process is in, leaves these, and waits until the agent serves.</summary>
    /// <param name="bubblewrap">Full path.</param>
    /// <param name="arguments">Its arguments, as --args reads them.</param>
    /// <param name="agent">The beginning of the agent's command line.</param>
    /// <param name="socket">Where the agent listens; only it does afterwards.</param>
    /// <param name="groups">What the sandbox runs in.</param>
    /// <param name="maxProcesses">The limit that the agent sets for commands.</param>
    /// <exception cref="SuperviseException">It did not come up; nothing of it runs.</exception>
    public static SandboxProcess Start(string bubblewrap, SafeFileHandle arguments, string[] agent, Socket socket, ControlGroups groups, int? maxProcesses)
    {
        // When bubblewrap is killed its child becomes ours, so that waiting tells exactly when the last process of the sandbox is gone.
        HostSyscalls.Check(Libc.Prctl(Libc.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl");

        // The reading end stays open for as long as this process lives: the agent ends with it.
        var (lifeline, readyWrite) = Descriptors.Pipe();
        var process = new SandboxProcess(groups, lifeline);
        string[] limit = maxProcesses is { } most ? ["--max-processes", Text(most)] : [];

        // The only listener and the only writer are inside after this: their end is seen at once. Only the descriptor is closed, since
        // disposing a Socket also removes its file.
        using (socket.SafeHandle)
        using (readyWrite)
        using (var filter = HostSyscalls.MemoryFile("seccomp", SeccompFilter.Build()))
        {
            try
            {
                process._bubblewrap = HostTools.StartBubblewrap(bubblewrap,
                    ["--args", Text(ArgumentsFd), "--", .. agent, "serve", "--fd", Text(SocketFd), "--ready-fd", Text(ReadyFd), .. limit],
                    [(socket.SafeHandle, SocketFd), (readyWrite, ReadyFd), (filter, FilterFd), (arguments, ArgumentsFd)]);
            }
            finally
            {
                groups.Leave();
            }
        }

        if (!WaitForReady(lifeline))
        {
            process.Kill();
            process.Reap();
            throw BubblewrapFailure.Explain(ReadLog());
        }

        return process;
    }

    /// <summary>Kills everything in the sandbox; <see cref="Reap"/> returns once it is gone.</summary>
    public void Kill()
    {
        try
        {
            _groups.Kill();
        }
        catch (IOException exception)
        {
            SupervisorLog.Write($"cgroup.kill: {exception.Message}");
        }

        // bubblewrap's end takes the agent, process 1, with it, and that every other process. Once it is reaped its number is another's.
        lock (_signalling)
        {
            if (_bubblewrap > 0)
            {
                _ = Libc.Kill(_bubblewrap, Libc.SIGKILL);
            }
        }
    }

    /// <summary>Waits until no child is left: bubblewrap, and after it the agent, whose end comes after that of all it started.</summary>
    public unsafe ExitStatus Reap()
    {
        var first = default(ExitStatus);
        var info = stackalloc byte[SignalInfoSize];
        while (true)
        {
            // Seen first and reaped under the lock, so that Kill never meets a number that is no longer bubblewrap's.
            if (Libc.WaitId(Libc.P_ALL, 0, info, Libc.WEXITED | Libc.WNOWAIT) != 0)
            {
                if (Libc.LastError == Libc.EINTR)
                {
                    continue;
                }

                return first;
            }

            lock (_signalling)
            {
                int status;
                if (Libc.WaitPid(-1, &status, Libc.WNOHANG) == _bubblewrap)
                {
                    first = new ExitStatus(status);
                    _bubblewrap = 0;
                }
            }
        }
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static unsafe bool WaitForReady(SafeFileHandle pipe)
    {
        var poll = new Libc.PollFd { Fd = (int)pipe.DangerousGetHandle(), Events = Libc.POLLIN };
        var deadline = Environment.TickCount64 + ReadyMilliseconds;
        int ready;
        while ((ready = Libc.Poll(&poll, 1, (int)Math.Max(0, deadline - Environment.TickCount64))) < 0 && Libc.LastError == Libc.EINTR)
        {
        }

        if (ready <= 0)
        {
            SupervisorLog.Write($"the agent was not ready within {ReadyMilliseconds} ms");
            return false;
        }

        return Descriptors.Read(pipe, stackalloc byte[1]) == 1;
    }

    /// <summary>The end of the log, by its open descriptor: its name is root's, who has been given up.</summary>
    private static string ReadLog()
    {
        using var log = new SafeFileHandle(2, ownsHandle: false);
        var text = new byte[MaxLogInError];
        var count = RandomAccess.Read(log, text, Math.Max(0, RandomAccess.GetLength(log) - text.Length));
        return System.Text.Encoding.UTF8.GetString(text, 0, count);
    }
}
