using System.Runtime.InteropServices;
using DoSandbox.Agent.Native;

namespace DoSandbox.Agent.Supervision;

/// <summary>
/// The disk of a sandbox made by root: a sparse ext4 image on a loop device, mounted where only the supervisor and its sandbox see it. Loop
/// device and mount go away with the last process that sees them.
/// </summary>
internal static class DiskImage
{
    private const ulong LoopControlGetFree = 0x4C82;
    private const ulong LoopConfigure = 0x4C0A;
    private const uint AutoClear = 4;
    private const int Attempts = 64;

    /// <summary>Makes an image of that size with an empty file system.</summary>
    /// <exception cref="SuperviseException">ToolMissing: no mkfs.ext4. DiskFull or CreateFailed: with mkfs' own words.</exception>
    public static void Format(string image, long megabytes)
    {
        var mkfs = HostTools.Find("mkfs.ext4") ?? throw new SuperviseException("ToolMissing",
            "mkfs.ext4 is missing, without which the disk of a sandbox cannot be limited.", "Install it: apt-get install e2fsprogs");
        using (var file = File.OpenHandle(image, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None))
        {
            RandomAccess.SetLength(file, megabytes * 1024 * 1024);
        }

        // No journal: after a crash the image is thrown away. No reserved blocks: nothing in there is root.
        var (exitCode, output) = HostTools.Run(mkfs, ["-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", image]);
        if (exitCode != 0)
        {
            throw new SuperviseException(output.Contains("No space left", StringComparison.Ordinal) ? "DiskFull" : "CreateFailed",
                $"mkfs.ext4 could not make the sandbox's disk: {output.Trim()}");
        }
    }

    /// <summary>Mounts the image on a folder, in this thread's mount namespace only.</summary>
    /// <exception cref="SuperviseException">CreateFailed.</exception>
    public static void Mount(string image, string folder)
    {
        var loop = Attach(image);
        try
        {
            HostSyscalls.Check(HostSyscalls.Mount(loop.Path, folder, "ext4",
                HostSyscalls.MsNoSuid | HostSyscalls.MsNoDev | HostSyscalls.MsNoAtime, "discard"), $"Mounting the sandbox's disk ({loop.Path})");
        }
        finally
        {
            // The mount keeps the device; without one, closing it detaches the image.
            _ = Libc.Close(loop.Fd);
        }
    }

    private static unsafe (string Path, int Fd) Attach(string image)
    {
        var control = HostSyscalls.Check(HostSyscalls.Open("/dev/loop-control", Libc.O_RDWR | Libc.O_CLOEXEC), "Opening /dev/loop-control");
        var file = HostSyscalls.Open(image, Libc.O_RDWR | Libc.O_CLOEXEC);
        try
        {
            HostSyscalls.Check(file, $"Opening {image}");
            for (var attempt = 0; attempt < Attempts; attempt++)
            {
                var number = HostSyscalls.Check(HostSyscalls.Ioctl(control, LoopControlGetFree, 0), "Asking for a free loop device");
                var path = $"/dev/loop{number}";
                var device = HostSyscalls.Check(HostSyscalls.Open(path, Libc.O_RDWR | Libc.O_CLOEXEC), $"Opening {path}");
                var config = new LoopConfig { Fd = (uint)file, Flags = AutoClear };
                if (HostSyscalls.Ioctl(device, LoopConfigure, (nint)(&config)) == 0)
                {
                    return (path, device);
                }

                var busy = Marshal.GetLastPInvokeError() == Libc.EBUSY;
                var error = HostSyscalls.LastError();
                _ = Libc.Close(device);
                if (!busy)
                {
                    throw new SuperviseException("CreateFailed", $"The loop device {path} could not be set up: {error}.");
                }
            }

            throw new SuperviseException("CreateFailed", $"No free loop device after {Attempts} attempts: others take them at the same time.", "Try again.");
        }
        finally
        {
            _ = Libc.Close(file);
            _ = Libc.Close(control);
        }
    }

    /// <summary>struct loop_config of linux/loop.h: descriptor, block size, struct loop_info64 (232 bytes), eight reserved words.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 8 + 232 + 64)]
    private struct LoopConfig
    {
        [FieldOffset(0)]
        public uint Fd;

        // lo_flags of loop_info64: after five 64 bit words and three 32 bit ones.
        [FieldOffset(8 + 40 + 12)]
        public uint Flags;
    }
}
