using System.Runtime.InteropServices;

namespace DoSandbox.Cli.Output;

/// <summary>Ctrl+C and its kin: the first ends what runs in the sandbox, a second ends this program at once.</summary>
internal sealed class Signals : IDisposable
{
    private readonly CancellationTokenSource _source = new();
    private readonly PosixSignalRegistration[] _registrations;
    private int _received;

    public Signals()
    {
        _registrations = [.. new[] { PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP, PosixSignal.SIGQUIT }
            .Select(signal => PosixSignalRegistration.Create(signal, OnSignal))];
    }

    public CancellationToken Token => _source.Token;

    /// <summary>The number of the first signal that came, or null.</summary>
    public int? Received => Volatile.Read(ref _received) is var number and not 0 ? number : null;

    public void Dispose()
    {
        foreach (var registration in _registrations)
        {
            registration.Dispose();
        }

        _source.Dispose();
    }

    private void OnSignal(PosixSignalContext context)
    {
        var number = context.Signal switch { PosixSignal.SIGINT => 2, PosixSignal.SIGHUP => 1, PosixSignal.SIGQUIT => 3, _ => 15 };
        context.Cancel = true;
        if (Interlocked.CompareExchange(ref _received, number, 0) != 0)
        {
            Environment.Exit(128 + number);
        }

        _source.Cancel();
    }
}
