using DoSandbox.Agent.Native;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Server;

/// <summary>Writes to a non-blocking pipe, waiting without a thread while its reader is slow.</summary>
internal sealed class PipeWriterEnd : IDisposable
{
    private readonly SafeFileHandle _pipe;
    private readonly AsyncSignal _signal = new();
    private readonly Poller.Watch _watch;

    public PipeWriterEnd(SafeFileHandle pipe)
    {
        _pipe = pipe;
        _watch = Poller.Instance.Add(pipe, _signal, forWriting: true);
    }

    /// <summary>Writes everything.</summary>
    /// <exception cref="LinuxException">EPIPE: nobody reads any more.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; part of it may have been written.</exception>
    public async Task WriteAsync(ReadOnlyMemory<byte> data, CancellationToken cancellation)
    {
        await using var registration = cancellation.UnsafeRegister(static signal => ((AsyncSignal)signal!).Set(), _signal);
        while (!data.IsEmpty)
        {
            cancellation.ThrowIfCancellationRequested();
            var count = Descriptors.Write(_pipe, data.Span);
            if (count >= 0)
            {
                data = data[count..];
                continue;
            }

            _watch.Arm();
            await _signal.WaitAsync().ConfigureAwait(false);
        }
    }

    public void Dispose() => _watch.Dispose();
}
