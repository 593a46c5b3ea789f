using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Native;

/// <summary>Files on the sandbox's disk that no path leads to.</summary>
internal static unsafe class UnnamedFile
{
    /// <summary>An empty file for reading and writing; null when none can be made, as on a full disk.</summary>
    public static SafeFileHandle? Create()
    {
        int fd;
        fixed (byte* folder = "/tmp\0"u8)
        {
            fd = Libc.Open(folder, Libc.O_TMPFILE | Libc.O_RDWR | Libc.O_CLOEXEC, 0x180 /* 0600 */);
        }

        if (fd < 0)
        {
            using var memory = new NativeText();
            var name = memory.Add($"/tmp/.log-{RandomId.Next()}");
            fd = Libc.Open(name, Libc.O_CREAT | Libc.O_EXCL | Libc.O_NOFOLLOW | Libc.O_RDWR | Libc.O_CLOEXEC, 0x180);
            if (fd >= 0)
            {
                _ = Libc.UnlinkAt(Libc.AT_FDCWD, name, 0);
            }
        }

        return fd < 0 ? null : new SafeFileHandle(fd, ownsHandle: true);
    }
}
