using DoSandbox.Errors;

namespace DoSandbox.Connections;

/// <summary>
/// How long removing what a failed operation left may hold up its caller: one bound from the cancellation on for all of it, however many
/// steps there are. To be made when the operation begins.
/// </summary>
internal sealed class CleanUpLimit : IDisposable
{
    /// <summary>From the cancellation to the return of the operation.</summary>
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(2.5);

    private readonly CancellationTokenRegistration _registration;
    private long _cancelledAt;

    public CleanUpLimit(CancellationToken cancellationToken)
    {
        _registration = cancellationToken.UnsafeRegister(static limit => Volatile.Write(ref ((CleanUpLimit)limit!)._cancelledAt, Environment.TickCount64), this);
    }

    /// <summary>Cleans up as far as that can be done in the time that is left. What fails is not told, as the operation's own fault is.</summary>
    public async Task RunAsync(Func<CancellationToken, Task> cleanUp)
    {
        var cancelledAt = Volatile.Read(ref _cancelledAt);
        var left = cancelledAt == 0 ? Bound : Bound - TimeSpan.FromMilliseconds(Environment.TickCount64 - cancelledAt);
        if (left <= TimeSpan.Zero)
        {
            return;
        }

        using var bound = new CancellationTokenSource(left);
        try
        {
            await cleanUp(bound.Token).WaitAsync(bound.Token).ConfigureAwait(false);
        }
        catch (Exception fault) when (fault is SandboxException or OperationCanceledException)
        {
            // As above.
        }
    }

    public void Dispose() => _registration.Dispose();
}
