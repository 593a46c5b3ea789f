namespace DoSandbox.Connections.Execd;

/// <summary>A token that is cancelled when a transfer stands still, or with the caller's. A timer checks, so that moving on costs nothing.</summary>
internal sealed class StallLimit : IDisposable
{
    private readonly CancellationTokenSource _source;
    private readonly Timer _timer;
    private readonly long _bound;
    private long _movedAt = Environment.TickCount64;

    public StallLimit(TimeSpan bound, CancellationToken cancellationToken)
    {
        _source = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        _bound = (long)bound.TotalMilliseconds;
        _timer = new Timer(static limit => ((StallLimit)limit!).Check(), this, bound / 4, bound / 4);
    }

    public CancellationToken Token => _source.Token;

    /// <summary>Something has moved.</summary>
    public void Moved() => Volatile.Write(ref _movedAt, Environment.TickCount64);

    /// <summary>No wait for the other side is under way: the caller does something of its own.</summary>
    public void Pause() => Volatile.Write(ref _movedAt, long.MaxValue);

    public void Dispose()
    {
        _timer.Dispose();
        _source.Dispose();
    }

    private void Check()
    {
        if (Environment.TickCount64 - Volatile.Read(ref _movedAt) > _bound)
        {
            try
            {
                _source.Cancel();
            }
            catch (ObjectDisposedException)
            {
                // It ended meanwhile.
            }
        }
    }
}
