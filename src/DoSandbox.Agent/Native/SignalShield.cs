using System.Buffers.Binary;

namespace DoSandbox.Agent.Native;

/// <summary>
/// Makes signals that other processes send harmless. As pid 1 the kernel drops every signal without a handler that comes
/// from inside; what is left are the runtime's own handlers, above all that of SIGSEGV, which would turn a sent signal
/// into an exception in whatever code happens to run. They get a guard in front that lets only the kernel's own faults
/// through. The guard is a few machine instructions, because a handler cannot be managed code.
/// </summary>
internal static unsafe class SignalShield
{
    private const int SIG_DFL = 0;
    private const int SIG_IGN = 1;
    private const int SI_TKILL = -6;
    private const int GuardSize = 32;
    private const int PageSize = 4096;

    /// <summary>Ignores what would end this process, and guards the handlers there are.</summary>
    /// <exception cref="LinuxException">The guards could not be set up.</exception>
    public static void Raise()
    {
        var page = Libc.Mmap(0, PageSize, 3 /* read, write */, 0x22 /* private, anonymous */, -1, 0);
        if (page == -1)
        {
            throw LinuxException.Last("Cannot guard the signals");
        }

        var guarded = new List<(int Signal, Libc.SigAction Action)>();
        var code = new Span<byte>((void*)page, PageSize);
        for (var signal = 1; signal <= Libc.SignalCount; signal++)
        {
            Libc.SigAction action;

            // SIGKILL, SIGSTOP and the C library's own two are refused here, and an ignored SIGCHLD would reap by itself.
            if (signal == Libc.SIGCHLD || Libc.SetSigAction(signal, null, &action) != 0)
            {
                continue;
            }

            if (action.Handler is SIG_DFL or SIG_IGN)
            {
                action = new Libc.SigAction { Handler = SIG_IGN };
                _ = Libc.SetSigAction(signal, &action, null);
                continue;
            }

            var offset = guarded.Count * GuardSize;
            WriteGuard(code.Slice(offset, GuardSize), action.Handler, fromThisProcess: signal > 31);
            action.Handler = page + offset;
            guarded.Add((signal, action));
        }

        if (Libc.Mprotect(page, PageSize, 5 /* read, execute */) != 0)
        {
            throw LinuxException.Last("Cannot guard the signals");
        }

        foreach (var (signal, entry) in guarded)
        {
            var action = entry;
            if (Libc.SetSigAction(signal, &action, null) != 0)
            {
                throw LinuxException.Last("Cannot guard the signals");
            }
        }
    }

    /// <summary>Only SIGPIPE is ignored: what a process needs that is not pid 1 and shall end by SIGTERM.</summary>
    public static void IgnoreBrokenPipes()
    {
        var action = new Libc.SigAction { Handler = SIG_IGN };
        _ = Libc.SetSigAction(Libc.SIGPIPE, &action, null);
    }

    /// <summary>
    /// handler(int, siginfo_t*, void*): looks at si_code (offset 8 of the second argument) and goes on to the real
    /// handler only for a fault (positive), or, for the runtime's own real-time signal, for one sent to a thread of this
    /// very process (SI_TKILL, which the kernel lets nobody forge for another process).
    /// </summary>
    private static void WriteGuard(Span<byte> code, nint handler, bool fromThisProcess)
    {
        ReadOnlySpan<byte> head = fromThisProcess
            ? [0x8B, 0x46, 0x08, 0x83, 0xF8, unchecked((byte)SI_TKILL), 0x75, 0x0C] // mov eax,[rsi+8]; cmp eax,SI_TKILL; jne +12
            : [0x8B, 0x46, 0x08, 0x83, 0xF8, 0x00, 0x7E, 0x0C];                     // mov eax,[rsi+8]; cmp eax,0; jle +12
        head.CopyTo(code);
        code = code[head.Length..];
        code[0] = 0x48; // mov rax, handler
        code[1] = 0xB8;
        BinaryPrimitives.WriteInt64LittleEndian(code[2..], handler);
        code[10] = 0xFF; // jmp rax
        code[11] = 0xE0;
        code[12] = 0xC3; // ret
    }
}
