using DoSandbox.Agent.Native;

namespace DoSandbox.Agent.Server;

/// <summary>Gives memory back to the system once after work, when no request has been under way for a while: many sandboxes wait beside each other.</summary>
internal sealed class IdleTrimmer
{
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(10);

    private readonly Timer _timer;
    private int _active;
    private long _lastLeave;
    private int _scheduled;

    public IdleTrimmer() => _timer = new Timer(static trimmer => ((IdleTrimmer)trimmer!).OnTimer(), this, Timeout.Infinite, Timeout.Infinite);

    public void Enter() => Interlocked.Increment(ref _active);

    public void Leave()
    {
        Volatile.Write(ref _lastLeave, Environment.TickCount64);
        if (Interlocked.Decrement(ref _active) == 0 && Interlocked.Exchange(ref _scheduled, 1) == 0)
        {
            _timer.Change(Quiet, Timeout.InfiniteTimeSpan);
        }
    }

    private void OnTimer()
    {
        if (Volatile.Read(ref _active) > 0 || Environment.TickCount64 - Volatile.Read(ref _lastLeave) < Quiet.TotalMilliseconds)
        {
            _timer.Change(Quiet, Timeout.InfiniteTimeSpan);
            return;
        }

        Volatile.Write(ref _scheduled, 0);
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        _ = Libc.MallocTrim(0);
    }
}
