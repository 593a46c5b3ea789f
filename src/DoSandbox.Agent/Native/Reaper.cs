using System.Collections.Concurrent;
using System.Runtime.CompilerServices;

namespace DoSandbox.Agent.Native;

/// <summary>How a process ended.</summary>
internal readonly record struct ExitStatus(int Raw)
{
    /// <summary>The signal that ended it, or null.</summary>
    public int? Signal => (Raw & 0x7f) is var signal and not 0 ? signal : null;

    /// <summary>0 to 255; 128 + n after death by signal n.</summary>
    public int ExitCode => Signal is { } signal ? 128 + signal : (Raw >> 8) & 0xff;
}

/// <summary>
/// Reaps every child of this process, its own and the orphans it adopts, on one thread in a blocking wait.
/// Nothing else in the process may wait for children: not System.Diagnostics.Process, not a SIGCHLD handler.
/// </summary>
internal sealed unsafe class Reaper
{
    // Where siginfo_t has si_pid on 64-bit systems.
    private const int SiginfoPid = 16;

    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<int, Action<ExitStatus>> _waiters = new();
    private readonly SemaphoreSlim _spawned = new(0);

    private Reaper()
    {
        new Thread(Loop, 256 * 1024) { IsBackground = true, Name = "reaper" }.Start();
    }

    /// <summary>The one reaper; made on first use.</summary>
    public static Reaper Instance { get; } = new();

    /// <summary>
    /// Starts a program. <paramref name="exited"/> runs once on the reaper's own thread and must neither block nor throw.
    /// The process id stays valid (unreaped) until just before that.
    /// </summary>
    /// <exception cref="LinuxException">It could not be started.</exception>
    /// <exception cref="ArgumentException">See <see cref="ProcessSpawner.Spawn"/>.</exception>
    public int Start(SpawnRequest request, Action<ExitStatus> exited)
    {
        lock (_gate)
        {
            var pid = ProcessSpawner.Spawn(request);
            _waiters[pid] = exited;
            _spawned.Release();
            return pid;
        }
    }

    /// <summary>Sends a signal to a process started here, or its group when negative, only while its id is still its own.</summary>
    /// <returns>False when it is gone.</returns>
    public bool Signal(int pid, int signal)
    {
        lock (_gate)
        {
            return _waiters.ContainsKey(Math.Abs(pid)) && Libc.Kill(pid, signal) == 0;
        }
    }

    /// <summary>True while the id is that of a process started here. Waits for no lock: a start may hang on the asker, who has stopped its new process.</summary>
    public bool Waits(int pid) => _waiters.ContainsKey(pid);

    private void Loop()
    {
        var info = stackalloc byte[128];
        while (true)
        {
            // Seen first and reaped later, under the lock: until then no other process can get this id.
            if (Libc.WaitId(Libc.P_ALL, 0, info, Libc.WEXITED | Libc.WNOWAIT) != 0)
            {
                if (Libc.LastError == Libc.ECHILD)
                {
                    _spawned.Wait();
                }

                continue;
            }

            var pid = Unsafe.ReadUnaligned<int>(info + SiginfoPid);
            Action<ExitStatus>? exited;
            int status;
            lock (_gate)
            {
                if (Libc.WaitPid(pid, &status, Libc.WNOHANG) != pid)
                {
                    continue;
                }

                _waiters.TryRemove(pid, out exited);
            }

            exited?.Invoke(new ExitStatus(status));
        }
    }
}
