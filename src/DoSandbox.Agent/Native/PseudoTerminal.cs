using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Native;

/// <summary>A terminal's size in characters.</summary>
internal readonly record struct TerminalSize(ushort Columns, ushort Rows)
{
    public static TerminalSize Default => new(80, 24);
}

/// <summary>A pseudo terminal from this side: what is written to it was typed, what is read from it is shown.</summary>
internal sealed unsafe class PseudoTerminal : IDisposable
{
    private const nuint TIOCGPGRP = 0x540F;
    private const nuint TIOCSWINSZ = 0x5414;
    private const nuint TIOCGPTN = 0x80045430;
    private const nuint TIOCSPTLCK = 0x40045431;

    private readonly SafeFileHandle _slave;

    private PseudoTerminal(SafeFileHandle master, SafeFileHandle input, SafeFileHandle slave, string path)
    {
        Master = master;
        Input = input;
        _slave = slave;
        Path = path;
    }

    /// <summary>For reading; non-blocking.</summary>
    public SafeFileHandle Master { get; }

    /// <summary>For writing; the same terminal under another number, as an epoll watches one number once.</summary>
    public SafeFileHandle Input { get; }

    /// <summary>What the program inside opens.</summary>
    public string Path { get; }

    /// <summary>Makes one.</summary>
    /// <exception cref="LinuxException">There is none to be had.</exception>
    public static PseudoTerminal Open(TerminalSize size)
    {
        var master = OpenDevice("/dev/ptmx");
        SafeFileHandle? input = null;
        try
        {
            int number;
            var unlock = 0;
            if (Libc.Ioctl(master, TIOCSPTLCK, &unlock) != 0 || Libc.Ioctl(master, TIOCGPTN, &number) != 0)
            {
                throw LinuxException.Last("Cannot make a terminal");
            }

            var copy = Libc.Fcntl(master, Libc.F_DUPFD_CLOEXEC, 3);
            if (copy < 0)
            {
                throw LinuxException.Last("Cannot make a terminal");
            }

            input = new SafeFileHandle(copy, ownsHandle: true);

            // Held as long as the command runs: else the terminal hangs up in the moment in which no program has it open.
            var path = "/dev/pts/" + number.ToString(CultureInfo.InvariantCulture);
            var terminal = new PseudoTerminal(master, input, OpenDevice(path), path);
            terminal.Resize(size);
            return terminal;
        }
        catch
        {
            input?.Dispose();
            master.Dispose();
            throw;
        }
    }

    /// <summary>Changes the size; the kernel tells the programs by SIGWINCH.</summary>
    public void Resize(TerminalSize size)
    {
        var window = stackalloc ushort[4] { size.Rows, size.Columns, 0, 0 };
        _ = Control(TIOCSWINSZ, (int*)window);
    }

    /// <summary>The process group that has the keyboard; null when there is none.</summary>
    public int? ForegroundGroup
    {
        get
        {
            int group;
            return Control(TIOCGPGRP, &group) && group > 1 ? group : null;
        }
    }

    /// <summary>The command is over: reading ends once the last program that still has the terminal is gone.</summary>
    public void LetGo() => _slave.Dispose();

    public void Dispose()
    {
        _slave.Dispose();
        Input.Dispose();
        Master.Dispose();
    }

    private static SafeFileHandle OpenDevice(string path)
    {
        using var memory = new NativeText();
        var fd = Libc.Open(memory.Add(path), Libc.O_RDWR | Libc.O_NOCTTY | Libc.O_NONBLOCK | Libc.O_CLOEXEC, 0);
        return fd >= 0 ? new SafeFileHandle(fd, ownsHandle: true) : throw LinuxException.Last($"Cannot open {path}");
    }

    private bool Control(nuint request, int* argument)
    {
        try
        {
            return Libc.Ioctl(Input, request, argument) == 0;
        }
        catch (ObjectDisposedException)
        {
            // The command ended in this moment.
            return false;
        }
    }
}
