using System.Runtime.InteropServices;

namespace DoSandbox.Agent.Supervision;

/// <summary>
/// The system calls that nothing in a sandbox may make, as a classic BPF program for bubblewrap's --seccomp. It is the second line:
/// namespaces and dropped capabilities already forbid most of these, but a kernel fault behind a call that cannot be made cannot be used.
/// </summary>
internal static class SeccompFilter
{
    private const ushort LoadWord = 0x20;
    private const ushort JumpIfEqual = 0x15;
    private const ushort JumpIfGreaterOrEqual = 0x35;
    private const ushort JumpIfAnyBit = 0x45;
    private const ushort Return = 0x06;

    private const uint Allow = 0x7fff0000;
    private const uint KillProcess = 0x80000000;
    private const uint ReturnErrno = 0x00050000;
    private const uint ArchitectureX64 = 0xc000003e;
    private const uint FirstX32Call = 0x40000000;

    private const uint NotPermitted = 1;
    private const uint NotImplemented = 38;
    private const uint FamilyNotSupported = 97;

    // Offsets in struct seccomp_data: nr, arch, instruction pointer, then six 64 bit arguments (low word first).
    private const uint NumberOffset = 0;
    private const uint ArchitectureOffset = 4;
    private const uint ArgumentsOffset = 16;

    private const uint Clone = 56;
    private const uint Clone3 = 435;
    private const uint Ioctl = 16;
    private const uint Socket = 41;
    private const uint Kill = 62;
    private const uint TgKill = 234;
    private const uint RtSigQueueInfo = 129;
    private const uint RtTgSigQueueInfo = 297;
    private const uint PrLimit64 = 302;
    private const uint Personality = 135;

    /// <summary>CLONE_NEW* of clone(2): namespaces of cgroup, mount, uts, ipc, user, pid and net.</summary>
    private const uint NewNamespaces = 0x02000000 | 0x00020000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000;

    /// <summary>The signal by which the agent's own runtime stops its threads for a collection (SIGRTMIN of glibc).</summary>
    private const uint RuntimeSignal = 34;

    private static readonly uint[] Refused =
    [
        272, 308,                          // unshare setns
        165, 166, 155, 161,                // mount umount2 pivot_root chroot
        428, 429, 430, 431, 432, 433, 442, // open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr
        175, 313, 176,                     // init_module finit_module delete_module
        246, 320, 169,                     // kexec_load kexec_file_load reboot
        321, 298, 323,                     // bpf perf_event_open userfaultfd
        248, 249, 250,                     // add_key request_key keyctl
        304, 300,                          // open_by_handle_at fanotify_init
        163, 167, 168, 179, 443,           // acct swapon swapoff quotactl quotactl_fd
        164, 227, 305,                     // settimeofday clock_settime clock_adjtime
        170, 171,                          // sethostname setdomainname
        172, 173, 154,                     // iopl ioperm modify_ldt
        103, 134, 180, 212, 153,           // syslog uselib nfsservctl lookup_dcookie vhangup
        279, 256, 312,                     // move_pages migrate_pages kcmp
    ];

    /// <summary>Programs that find these missing fall back to an older call.</summary>
    private static readonly uint[] Absent =
    [
        Clone3,        // its flags lie behind a pointer, where a filter cannot look
        425, 426, 427, // io_uring_setup io_uring_enter io_uring_register
        424,           // pidfd_send_signal: its target cannot be told from the number of a descriptor
        438,           // pidfd_getfd
    ];

    /// <summary>The program, as an array of struct sock_filter in this machine's byte order.</summary>
    public static byte[] Build()
    {
        var program = new List<Instruction>
        {
            new(LoadWord, 0, 0, ArchitectureOffset),
            new(JumpIfEqual, 1, 0, ArchitectureX64),
            new(Return, 0, 0, KillProcess),
            new(LoadWord, 0, 0, NumberOffset),
            new(JumpIfGreaterOrEqual, 0, 1, FirstX32Call),
            new(Return, 0, 0, ReturnErrno | NotImplemented),
        };

        foreach (var number in Absent)
        {
            Rule(program, number, [new(Return, 0, 0, ReturnErrno | NotImplemented)]);
        }

        foreach (var number in Refused)
        {
            Rule(program, number, [new(Return, 0, 0, ReturnErrno | NotPermitted)]);
        }

        Rule(program, Clone,
        [
            Argument(0),
            new(JumpIfAnyBit, 0, 1, NewNamespaces),
            new(Return, 0, 0, ReturnErrno | NotPermitted),
            new(Return, 0, 0, Allow),
        ]);

        // TIOCSTI types into a terminal, TIOCLINUX pastes into a console.
        Rule(program, Ioctl,
        [
            Argument(1),
            new(JumpIfEqual, 1, 0, 0x5412),
            new(JumpIfEqual, 0, 1, 0x541c),
            new(Return, 0, 0, ReturnErrno | NotPermitted),
            new(Return, 0, 0, Allow),
        ]);

        // Only unix, IPv4, IPv6 and route netlink. Others are either attack surface (packet, alg) or, like vsock, belong to no network
        // namespace and would reach out of the sandbox.
        Rule(program, Socket,
        [
            Argument(0),
            new(JumpIfEqual, 5, 0, 1),
            new(JumpIfEqual, 4, 0, 2),
            new(JumpIfEqual, 3, 0, 10),
            new(JumpIfEqual, 0, 3, 16),
            Argument(2),
            new(JumpIfEqual, 0, 1, 0),
            new(Return, 0, 0, Allow),
            new(Return, 0, 0, ReturnErrno | FamilyNotSupported),
        ]);

        // The agent is process 1 and has the uid of the user's code: no signal and no limit of theirs reaches it.
        Rule(program, Kill,
        [
            Argument(0),
            new(JumpIfEqual, 0, 3, 1),
            Argument(1),
            new(JumpIfEqual, 1, 0, 0),
            new(Return, 0, 0, ReturnErrno | NotPermitted),
            new(Return, 0, 0, Allow),
        ]);
        Rule(program, TgKill,
        [
            Argument(0),
            new(JumpIfEqual, 0, 3, 1),
            Argument(2),
            new(JumpIfEqual, 1, 0, RuntimeSignal),
            new(Return, 0, 0, ReturnErrno | NotPermitted),
            new(Return, 0, 0, Allow),
        ]);
        foreach (var number in (uint[])[RtSigQueueInfo, RtTgSigQueueInfo])
        {
            Rule(program, number,
            [
                Argument(0),
                new(JumpIfEqual, 0, 1, 1),
                new(Return, 0, 0, ReturnErrno | NotPermitted),
                new(Return, 0, 0, Allow),
            ]);
        }

        Rule(program, PrLimit64,
        [
            Argument(0),
            new(JumpIfEqual, 5, 0, 0),
            Argument(2),
            new(JumpIfEqual, 0, 2, 0),
            new(LoadWord, 0, 0, ArgumentsOffset + (2 * 8) + 4),
            new(JumpIfEqual, 1, 0, 0),
            new(Return, 0, 0, ReturnErrno | NotPermitted),
            new(Return, 0, 0, Allow),
        ]);

        Rule(program, Personality,
        [
            Argument(0),
            new(JumpIfEqual, 3, 0, 0),
            new(JumpIfEqual, 2, 0, 0xffffffff),
            new(JumpIfEqual, 1, 0, 0x00040000),
            new(Return, 0, 0, ReturnErrno | NotPermitted),
            new(Return, 0, 0, Allow),
        ]);

        program.Add(new(Return, 0, 0, Allow));
        return MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(program)).ToArray();
    }

    private static Instruction Argument(uint index) => new(LoadWord, 0, 0, ArgumentsOffset + (index * 8));

    /// <summary>Adds <paramref name="body"/>, which always returns, for one call; the accumulator holds the number again for what follows.</summary>
    private static void Rule(List<Instruction> program, uint number, Instruction[] body)
    {
        program.Add(new(JumpIfEqual, 0, checked((byte)body.Length), number));
        program.AddRange(body);
    }

    [StructLayout(LayoutKind.Sequential)]
    private readonly record struct Instruction(ushort Code, byte JumpTrue, byte JumpFalse, uint Value);
}
