using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Supervision;

/// <summary>Calls of the host's kernel that only the supervisor makes. Numbers are those of Linux on x86-64.</summary>
internal static partial class HostSyscalls
{
    public const int CloneNewNs = 0x00020000;
    public const ulong MsNoSuid = 2;
    public const ulong MsNoDev = 4;
    public const ulong MsNoAtime = 1024;
    public const ulong MsRec = 16384;
    public const ulong MsPrivate = 1 << 18;
    public const int FdGetFlags = 1;
    public const int FdCloseOnExec = 1;
    public const int OpenAppend = 0x400;
    public const uint MemfdCloseOnExec = 1;

    [LibraryImport("libc", EntryPoint = "unshare", SetLastError = true)]
    internal static partial int Unshare(int flags);

    [LibraryImport("libc", EntryPoint = "mount", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Mount(string source, string target, string? type, ulong flags, string? data);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Open(string path, int flags, uint mode = 0);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    internal static partial int Ioctl(int fd, ulong request, nint argument);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    internal static partial int Fcntl(int fd, int command, int argument);

    [LibraryImport("libc", EntryPoint = "memfd_create", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int MemfdCreate(string name, uint flags);

    [LibraryImport("libc", EntryPoint = "dup2", SetLastError = true)]
    internal static partial int Dup2(int from, int to);

    [LibraryImport("libc", EntryPoint = "setsid", SetLastError = true)]
    internal static partial int SetSid();

    [LibraryImport("libc", EntryPoint = "geteuid")]
    internal static partial uint GetEuid();

    [LibraryImport("libc", EntryPoint = "chown", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Chown(string path, uint owner, uint group);

    [LibraryImport("libc", EntryPoint = "setgroups", SetLastError = true)]
    internal static partial int SetGroups(nuint count, nint groups);

    [LibraryImport("libc", EntryPoint = "setresgid", SetLastError = true)]
    internal static partial int SetResGid(uint real, uint effective, uint saved);

    [LibraryImport("libc", EntryPoint = "setresuid", SetLastError = true)]
    internal static partial int SetResUid(uint real, uint effective, uint saved);

    /// <summary>The text of the last error, for a message.</summary>
    internal static string LastError() => Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError());

    /// <summary>Throws when a call failed.</summary>
    /// <exception cref="SuperviseException">CreateFailed, naming the call and the kernel's reason.</exception>
    internal static int Check(int result, string what) =>
        result >= 0 ? result : throw new SuperviseException("CreateFailed", $"{what} failed: {LastError()}.");

    /// <summary>A memory file that holds these bytes, to be read from their start.</summary>
    internal static SafeFileHandle MemoryFile(string name, ReadOnlySpan<byte> content)
    {
        var file = new SafeFileHandle(Check(MemfdCreate(name, MemfdCloseOnExec), "memfd_create"), ownsHandle: true);
        // Positional writing leaves the offset, which the child shares, at the start.
        RandomAccess.Write(file, content, 0);
        return file;
    }
}
