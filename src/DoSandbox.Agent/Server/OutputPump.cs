using DoSandbox.Agent.Native;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Server;

/// <summary>How a pump came to its end.</summary>
internal enum PumpEnd
{
    /// <summary>The command is over and everything it wrote before its end has been handed on.</summary>
    Over,

    /// <summary>The receiver went away.</summary>
    ReceiverGone,
}

/// <summary>
/// Carries a command's output from its pipes to a sink. It reads no more than the sink takes, so a slow reader slows the
/// writer and memory stays flat.
/// </summary>
internal sealed class OutputPump : IDisposable
{
    // With the frame's header and chunked encoding around it, it still fits a pooled buffer of 256 KiB.
    private const int MaxChunk = 256 * 1024 - 256;
    private const int ChunkThatWantsALargerPipe = 48 * 1024;
    private const int ChunksInARow = 32;

    // The kernel gives no more than that at once.
    private const int TerminalChunk = 4096;

    private readonly AsyncSignal _signal;
    private readonly Source[] _sources;
    private readonly bool _isTerminal;

    /// <param name="signal">Set by whoever has news: the pipes, the end of the command, a client that goes away.</param>
    /// <param name="output">Read end of standard output, or of both.</param>
    /// <param name="error">Read end of standard error, or null.</param>
    /// <param name="isTerminal">True when <paramref name="output"/> is a terminal.</param>
    public OutputPump(AsyncSignal signal, SafeFileHandle output, SafeFileHandle? error, bool isTerminal = false)
    {
        _signal = signal;
        _isTerminal = isTerminal;
        _sources = error is null
            ? [new Source(output, isError: false, signal, isTerminal)]
            : [new Source(output, isError: false, signal, isTerminal), new Source(error, isError: true, signal, isTerminal)];
    }

    /// <summary>True when no process has the pipes open any more.</summary>
    public bool AtEnd => Array.TrueForAll(_sources, source => source.AtEnd);

    /// <summary>Pumps until <paramref name="isOver"/>, or until the receiver goes away.</summary>
    /// <param name="sink">Gets the output.</param>
    /// <param name="isOver">Tells whether the command and its kill are over; output written before that is still delivered.</param>
    /// <param name="isGone">Tells whether the receiver is gone.</param>
    public async Task<PumpEnd> RunAsync(OutputSink sink, Func<bool> isOver, Func<bool> isGone)
    {
        await using var timer = sink.TickInterval is { } interval
            ? new Timer(static signal => ((AsyncSignal)signal!).Set(), _signal, interval, interval)
            : null;
        var chunks = 0;
        while (true)
        {
            if (isGone())
            {
                return PumpEnd.ReceiverGone;
            }

            // Asked before the pipes are looked at: what is in them now was all that the command wrote.
            if (isOver())
            {
                return await DrainAsync(sink).ConfigureAwait(false);
            }

            var moved = false;
            foreach (var source in _sources)
            {
                if (source.MoveSome(sink, MaxChunk) > 0)
                {
                    moved = true;
                    if (!await sink.FlushAsync().ConfigureAwait(false))
                    {
                        return PumpEnd.ReceiverGone;
                    }
                }
            }

            if (sink.Tick() && !await sink.FlushAsync().ConfigureAwait(false))
            {
                return PumpEnd.ReceiverGone;
            }

            if (moved)
            {
                if (++chunks % ChunksInARow == 0)
                {
                    await Task.Yield();
                }

                continue;
            }

            foreach (var source in _sources)
            {
                source.Arm();
            }

            await _signal.WaitAsync().ConfigureAwait(false);
        }
    }

    public void Dispose()
    {
        foreach (var source in _sources)
        {
            source.Dispose();
        }
    }

    /// <summary>Hands on exactly what the pipes hold now: a descendant that goes on writing must not hold up the end.</summary>
    private async Task<PumpEnd> DrainAsync(OutputSink sink)
    {
        foreach (var source in _sources)
        {
            // What a terminal still holds cannot be asked for; the kernel's buffers for one are smaller than this.
            var left = _isTerminal ? MaxChunk : source.Available;
            while (left > 0)
            {
                var count = source.MoveSome(sink, Math.Min(left, MaxChunk));
                if (count <= 0)
                {
                    break;
                }

                left -= count;
                if (!await sink.FlushAsync().ConfigureAwait(false))
                {
                    return PumpEnd.ReceiverGone;
                }
            }

            source.CheckEnd();
        }

        return PumpEnd.Over;
    }

    private sealed class Source : IDisposable
    {
        private readonly SafeFileHandle _pipe;
        private readonly bool _isError;
        private readonly bool _isTerminal;
        private readonly Poller.Watch _watch;
        private bool _large;

        public Source(SafeFileHandle pipe, bool isError, AsyncSignal signal, bool isTerminal)
        {
            _isTerminal = isTerminal;
            Descriptors.SetNonBlocking(pipe);
            _pipe = pipe;
            _isError = isError;
            _watch = Poller.Instance.Add(pipe, signal);
        }

        public bool AtEnd { get; private set; }

        public int Available => AtEnd ? 0 : Descriptors.Available(_pipe);

        public int MoveSome(OutputSink sink, int most)
        {
            if (AtEnd)
            {
                return 0;
            }

            if (_isTerminal)
            {
                return MoveFromTerminal(sink, Math.Min(TerminalChunk, most));
            }

            var size = Math.Min(Descriptors.Available(_pipe), most);
            if (size == 0)
            {
                // Nothing there, or the end: only a read tells.
                Span<byte> probe = stackalloc byte[256];
                var got = Descriptors.Read(_pipe, probe[..Math.Min(probe.Length, most)]);
                if (got == 0)
                {
                    Dispose();
                }
                else if (got > 0)
                {
                    probe[..got].CopyTo(sink.Reserve(_isError, got).Span);
                    sink.Commit(got);
                }

                return Math.Max(got, 0);
            }

            var count = Descriptors.Read(_pipe, sink.Reserve(_isError, size).Span[..size]);
            if (count <= 0)
            {
                return 0;
            }

            sink.Commit(count);
            if (count >= ChunkThatWantsALargerPipe && !_large)
            {
                _large = true;
                Descriptors.EnlargePipe(_pipe);
            }

            return count;
        }

        private int MoveFromTerminal(OutputSink sink, int most)
        {
            int count;
            try
            {
                // Only a read makes the kernel hand on all that was written; a count of what is there may be behind.
                count = Descriptors.Read(_pipe, sink.Reserve(error: false, most).Span[..most]);
            }
            catch (LinuxException e) when (e.Error == Libc.EIO)
            {
                // No program has the terminal open any more.
                count = 0;
            }

            if (count == 0)
            {
                Dispose();
            }
            else if (count > 0)
            {
                sink.Commit(count);
            }

            return Math.Max(count, 0);
        }

        public void CheckEnd()
        {
            if (!AtEnd && Descriptors.IsAtEnd(_pipe))
            {
                Dispose();
            }
        }

        public void Arm()
        {
            if (!AtEnd)
            {
                _watch.Arm();
            }
        }

        public void Dispose()
        {
            AtEnd = true;
            _watch.Dispose();
            _pipe.Dispose();
        }
    }
}
