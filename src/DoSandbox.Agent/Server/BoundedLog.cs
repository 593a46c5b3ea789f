using DoSandbox.Agent.Native;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Server;

/// <summary>
/// The last bytes of an output in a file without a name, so that user code can neither read nor change it through the
/// file system. Positions count from the first byte ever appended; the oldest bytes make room for new ones.
/// </summary>
internal sealed unsafe class BoundedLog : IDisposable
{
    /// <summary>Bytes kept.</summary>
    public const int DefaultCapacity = 16 * 1024 * 1024;

    private readonly Lock _gate = new();
    private readonly int _capacity;
    private SafeFileHandle? _file;
    private long _start;
    private long _end;
    private bool _disposed;

    public BoundedLog(int capacity = DefaultCapacity) => _capacity = capacity;

    /// <summary>The position after the last byte.</summary>
    public long End
    {
        get
        {
            lock (_gate)
            {
                return _end;
            }
        }
    }

    /// <summary>The position of the oldest byte that is still there.</summary>
    public long Start
    {
        get
        {
            lock (_gate)
            {
                return _start;
            }
        }
    }

    /// <summary>Appends. What cannot be stored, as on a full disk, counts as dropped: a log must not stop a command.</summary>
    public void Append(ReadOnlySpan<byte> data)
    {
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            if (data.Length > _capacity)
            {
                _end += data.Length - _capacity;
                data = data[^_capacity..];
            }

            if (!Store(data))
            {
                _end += data.Length;
                _start = _end;
                return;
            }

            _end += data.Length;
            _start = Math.Max(_start, _end - _capacity);
        }
    }

    /// <summary>Reads from a position on.</summary>
    /// <returns>The count, 0 at the end; -1 when the byte at that position has been dropped.</returns>
    public int Read(long position, Span<byte> buffer)
    {
        lock (_gate)
        {
            if (position < _start)
            {
                return -1;
            }

            if (position >= _end || _file is null || _disposed)
            {
                return 0;
            }

            var offset = position % _capacity;
            var length = (int)Math.Min(Math.Min(buffer.Length, _end - position), _capacity - offset);
            fixed (byte* start = buffer)
            {
                var count = Libc.PRead(_file, start, (nuint)length, offset);
                return count >= 0 ? (int)count : throw LinuxException.Last("Cannot read the log");
            }
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            _file?.Dispose();
        }
    }

    private bool Store(ReadOnlySpan<byte> data)
    {
        _file ??= UnnamedFile.Create();
        if (_file is null)
        {
            return false;
        }

        var offset = _end % _capacity;
        fixed (byte* start = data)
        {
            for (var done = 0; done < data.Length;)
            {
                var length = Math.Min(data.Length - done, _capacity - offset);
                var count = Libc.PWrite(_file, start + done, (nuint)length, offset);
                if (count <= 0)
                {
                    return false;
                }

                done += (int)count;
                offset = (offset + count) % _capacity;
            }
        }

        return true;
    }
}
