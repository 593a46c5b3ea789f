using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Native;

/// <summary>Pipes and the other things done with bare file descriptors. Every descriptor made here is close-on-exec.</summary>
internal static unsafe class Descriptors
{
    /// <summary>Most bytes that an unprivileged process may give a pipe by default.</summary>
    public const int LargePipe = 1024 * 1024;

    /// <summary>Marks everything from descriptor 3 on as close-on-exec and makes sure that 0 to 2 exist, so that no later file lands there.</summary>
    public static void SealInherited()
    {
        if (Libc.CloseRange(3, uint.MaxValue, Libc.CLOSE_RANGE_CLOEXEC) != 0)
        {
            throw LinuxException.Last("Cannot seal the inherited descriptors");
        }

        fixed (byte* path = "/dev/null"u8)
        {
            for (var fd = 0; fd <= 2; fd++)
            {
                if (Libc.Fcntl(fd, Libc.F_GETFL, 0) < 0)
                {
                    // The lowest free number is the one that was missing.
                    _ = Libc.Open(path, Libc.O_RDWR, 0);
                }
            }
        }
    }

    /// <summary>A pipe, both ends blocking.</summary>
    public static (SafeFileHandle Read, SafeFileHandle Write) Pipe()
    {
        var ends = stackalloc int[2];
        if (Libc.Pipe2(ends, Libc.O_CLOEXEC) != 0)
        {
            throw LinuxException.Last("Cannot make a pipe");
        }

        return (new SafeFileHandle(ends[0], ownsHandle: true), new SafeFileHandle(ends[1], ownsHandle: true));
    }

    public static void SetNonBlocking(SafeFileHandle fd)
    {
        var flags = Libc.Fcntl(fd, Libc.F_GETFL, 0);
        if (flags < 0 || Libc.Fcntl(fd, Libc.F_SETFL, flags | Libc.O_NONBLOCK) != 0)
        {
            throw LinuxException.Last("Cannot set a descriptor's mode");
        }
    }

    /// <summary>Asks for a larger pipe. Refused when the user has too many already; the pipe then stays as it is.</summary>
    public static void EnlargePipe(SafeFileHandle fd) => _ = Libc.Fcntl(fd, Libc.F_SETPIPE_SZ, LargePipe);

    /// <summary>Bytes that wait in a pipe.</summary>
    public static int Available(SafeFileHandle fd)
    {
        int count;
        return Libc.Ioctl(fd, Libc.FIONREAD, &count) == 0 ? count : 0;
    }

    /// <summary>True when a pipe is empty and nobody can write to it any more.</summary>
    public static bool IsAtEnd(SafeFileHandle fd)
    {
        var poll = new Libc.PollFd { Fd = (int)fd.DangerousGetHandle(), Events = Libc.POLLIN };
        return Libc.Poll(&poll, 1, 0) == 1 && poll.Returned == Libc.POLLHUP;
    }

    /// <summary>Reads once. 0 is the end; -1 means that nothing is there yet (only of a non-blocking descriptor).</summary>
    public static int Read(SafeFileHandle fd, Span<byte> buffer)
    {
        fixed (byte* start = buffer)
        {
            while (true)
            {
                var count = Libc.Read(fd, start, (nuint)buffer.Length);
                if (count >= 0)
                {
                    return (int)count;
                }

                switch (Libc.LastError)
                {
                    case Libc.EINTR:
                        continue;
                    case Libc.EAGAIN:
                        return -1;
                    default:
                        throw LinuxException.Last("Cannot read");
                }
            }
        }
    }

    /// <summary>Writes once and returns how much was taken; -1 means that there is no room yet (only of a non-blocking descriptor).</summary>
    /// <exception cref="LinuxException">For a pipe nobody reads any more: EPIPE.</exception>
    public static int Write(SafeFileHandle fd, ReadOnlySpan<byte> buffer)
    {
        fixed (byte* start = buffer)
        {
            while (true)
            {
                var count = Libc.Write(fd, start, (nuint)buffer.Length);
                if (count >= 0)
                {
                    return (int)count;
                }

                switch (Libc.LastError)
                {
                    case Libc.EINTR:
                        continue;
                    case Libc.EAGAIN:
                        return -1;
                    default:
                        throw LinuxException.Last("Cannot write");
                }
            }
        }
    }

    /// <summary>Writes a whole buffer to a blocking descriptor.</summary>
    public static void WriteAll(SafeFileHandle fd, ReadOnlySpan<byte> buffer)
    {
        while (!buffer.IsEmpty)
        {
            buffer = buffer[Write(fd, buffer)..];
        }
    }
}
