using System.Collections.Concurrent;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Native;

/// <summary>Tells when pipes can be read or written: one epoll, one thread, for all of them.</summary>
internal sealed unsafe class Poller
{
    private readonly int _epoll;
    private readonly ConcurrentDictionary<ulong, AsyncSignal> _watched = new();
    private ulong _lastKey;

    private Poller()
    {
        _epoll = Libc.EpollCreate(Libc.O_CLOEXEC);
        if (_epoll < 0)
        {
            throw LinuxException.Last("Cannot make an epoll");
        }

        new Thread(Loop, 256 * 1024) { IsBackground = true, Name = "poller" }.Start();
    }

    /// <summary>The one poller; made on first use.</summary>
    public static Poller Instance { get; } = new();

    /// <summary>Watches a non-blocking descriptor. Nothing is told until <see cref="Watch.Arm"/>.</summary>
    public Watch Add(SafeFileHandle fd, AsyncSignal signal, bool forWriting = false)
    {
        var key = Interlocked.Increment(ref _lastKey);
        _watched[key] = signal;
        return new Watch(this, fd, key, forWriting ? Libc.EPOLLOUT : Libc.EPOLLIN);
    }

    private void Loop()
    {
        const int Capacity = 64;
        var events = stackalloc Libc.EpollEvent[Capacity];
        while (true)
        {
            var count = Libc.EpollWait(_epoll, events, Capacity, -1);
            for (var i = 0; i < count; i++)
            {
                if (_watched.TryGetValue(events[i].Data, out var signal))
                {
                    signal.Set();
                }
            }
        }
    }

    /// <summary>One watched descriptor; disposing it ends the watch and leaves the descriptor open.</summary>
    public sealed class Watch(Poller poller, SafeFileHandle fd, ulong key, uint events) : IDisposable
    {
        private bool _added;

        /// <summary>Asks for one signal as soon as the descriptor is ready or its other end is gone, which may be at once.</summary>
        public void Arm()
        {
            var change = new Libc.EpollEvent { Events = events | Libc.EPOLLONESHOT, Data = key };
            if (Libc.EpollCtl(poller._epoll, _added ? Libc.EPOLL_CTL_MOD : Libc.EPOLL_CTL_ADD, fd, &change) != 0)
            {
                throw LinuxException.Last("Cannot watch a descriptor");
            }

            _added = true;
        }

        public void Dispose()
        {
            // A closed descriptor has left the epoll by itself.
            if (poller._watched.TryRemove(key, out _) && _added && !fd.IsClosed)
            {
                var unused = default(Libc.EpollEvent);
                try
                {
                    _ = Libc.EpollCtl(poller._epoll, Libc.EPOLL_CTL_DEL, fd, &unused);
                }
                catch (ObjectDisposedException)
                {
                    // Closed in this very moment.
                }
            }
        }
    }
}
