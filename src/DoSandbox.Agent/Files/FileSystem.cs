using System.Globalization;
using System.Text;
using DoSandbox.Agent.Native;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Files;

/// <summary>
/// The file system by the kernel's own calls and names as bytes: names that are no UTF-8, links, pipes and devices are
/// what they are, and nothing blocks on opening.
/// </summary>
internal static unsafe class FileSystem
{
    public const int PermissionBits = 0xFFF; // 07777

    private const int X_OK = 1;
    private const uint Inherit = uint.MaxValue;

    /// <summary>The mask that a new file's mode is reduced by.</summary>
    public static uint CreationMask { get; } = ReadMask();

    /// <summary>A path as the kernel takes it. Where nothing of that name exists, bytes escaped as \xNN by <see cref="FileNames.Show"/> are tried.</summary>
    public static byte[] Encode(string path)
    {
        var plain = FileNames.ToBytes(path);
        if (path.Contains("\\x", StringComparison.Ordinal) && TryStat(plain, follow: false) is null
            && FileNames.Unescape(path) is { } raw && TryStat(raw, follow: false) is not null)
        {
            return raw;
        }

        return plain;
    }

    /// <summary>What a path names, or null when nothing is there (error 2 or 20).</summary>
    /// <exception cref="LinuxException">Any other error.</exception>
    public static Libc.Statx? TryStat(byte[] path, bool follow)
    {
        Libc.Statx info;
        fixed (byte* text = path)
        {
            if (Libc.GetStatx(Libc.AT_FDCWD, text, follow ? 0 : Libc.AT_SYMLINK_NOFOLLOW, Libc.STATX_BASIC_STATS | Libc.STATX_BTIME, &info) == 0)
            {
                return info;
            }
        }

        return Libc.LastError is Libc.ENOENT or Libc.ENOTDIR ? null : throw LinuxException.Last($"Cannot look at {FileNames.Show(path)}");
    }

    /// <summary>What a path names.</summary>
    /// <exception cref="LinuxException">Nothing is there, or it cannot be looked at.</exception>
    public static Libc.Statx Stat(byte[] path, bool follow) =>
        TryStat(path, follow) ?? throw new LinuxException(Libc.ENOENT, $"Cannot find {FileNames.Show(path)}");

    /// <summary>What an open file is.</summary>
    public static Libc.Statx Stat(SafeFileHandle file)
    {
        Libc.Statx info;
        byte empty = 0;
        return Libc.GetStatx((int)file.DangerousGetHandle(), &empty, Libc.AT_EMPTY_PATH, Libc.STATX_BASIC_STATS, &info) == 0
            ? info
            : throw LinuxException.Last("Cannot look at an open file");
    }

    public static bool IsType(in Libc.Statx info, int type) => (info.Mode & Libc.S_IFMT) == type;

    /// <summary>Opens relative to the working directory; the descriptor is close-on-exec and never becomes a terminal.</summary>
    /// <exception cref="LinuxException">It could not be opened.</exception>
    public static SafeFileHandle Open(byte[] path, int flags, uint mode = 0)
    {
        fixed (byte* text = path)
        {
            var fd = Libc.Open(text, flags | Libc.O_CLOEXEC | Libc.O_NOCTTY, mode);
            return fd >= 0 ? new SafeFileHandle(fd, ownsHandle: true) : throw LinuxException.Last($"Cannot open {FileNames.Show(path)}");
        }
    }

    /// <summary>Opens a regular file for reading, following links. A pipe or a device is refused instead of waited for.</summary>
    /// <exception cref="LinuxException">It is not there, may not be read, or is no regular file.</exception>
    public static SafeFileHandle OpenRegular(byte[] path, out Libc.Statx info)
    {
        Require(Stat(path, follow: true), path);
        var file = Open(path, Libc.O_RDONLY | Libc.O_NONBLOCK);
        try
        {
            info = Stat(file);
            Require(info, path);
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }

        static void Require(in Libc.Statx info, byte[] path)
        {
            if (IsType(info, Libc.S_IFDIR))
            {
                throw new LinuxException(Libc.EISDIR, $"Cannot read {FileNames.Show(path)}");
            }

            if (!IsType(info, Libc.S_IFREG))
            {
                throw new LinuxException(Libc.EINVAL, $"Cannot read {FileNames.Show(path)}, which is no regular file");
            }
        }
    }

    /// <summary>Makes a directory and those above it that are missing, as <c>mkdir -p</c>.</summary>
    /// <returns>True when the last one is new.</returns>
    public static bool MakeDirectories(byte[] path, uint mode = 0x1FF)
    {
        if (TryStat(path, follow: true) is { } existing)
        {
            return IsType(existing, Libc.S_IFDIR) ? false : throw new LinuxException(Libc.ENOTDIR, $"Cannot make the directory {FileNames.Show(path)}");
        }

        var parent = FileNames.Parent(path);
        if (parent.Length < path.Length)
        {
            MakeDirectories(parent, mode);
        }

        fixed (byte* text = path)
        {
            if (Libc.MkdirAt(Libc.AT_FDCWD, text, mode) == 0)
            {
                return true;
            }
        }

        // Another one may have made it in between.
        return Libc.LastError == Libc.EEXIST && TryStat(path, follow: true) is { } made && IsType(made, Libc.S_IFDIR)
            ? false
            : throw LinuxException.Last($"Cannot make the directory {FileNames.Show(path)}");
    }

    public static void SetMode(byte[] path, uint mode)
    {
        fixed (byte* text = path)
        {
            if (Libc.Chmod(text, mode) != 0)
            {
                throw LinuxException.Last($"Cannot change the mode of {FileNames.Show(path)}");
            }
        }
    }

    /// <summary>Changes owner and group by name or number; null leaves one as it is.</summary>
    /// <exception cref="LinuxException">Not permitted, as to anyone but root.</exception>
    public static void SetOwner(byte[] path, uint? owner, uint? group)
    {
        if (owner is null && group is null)
        {
            return;
        }

        fixed (byte* text = path)
        {
            if (Libc.Chown(text, owner ?? Inherit, group ?? Inherit) != 0)
            {
                throw LinuxException.Last($"Cannot change the owner of {FileNames.Show(path)}");
            }
        }
    }

    public static void Rename(byte[] source, byte[] destination, uint flags)
    {
        fixed (byte* from = source)
        fixed (byte* to = destination)
        {
            if (Libc.RenameAt2(Libc.AT_FDCWD, from, Libc.AT_FDCWD, to, flags) != 0)
            {
                throw LinuxException.Last($"Cannot move {FileNames.Show(source)} to {FileNames.Show(destination)}");
            }
        }
    }

    /// <summary>Removes a name that is no directory.</summary>
    /// <returns>False when nothing was there.</returns>
    public static bool Unlink(byte[] path)
    {
        fixed (byte* text = path)
        {
            if (Libc.UnlinkAt(Libc.AT_FDCWD, text, 0) == 0)
            {
                return true;
            }
        }

        return Libc.LastError is Libc.ENOENT or Libc.ENOTDIR ? false : throw LinuxException.Last($"Cannot remove {FileNames.Show(path)}");
    }

    public static bool IsExecutable(string path)
    {
        fixed (byte* text = FileNames.ToBytes(path))
        {
            return Libc.Access(text, X_OK) == 0;
        }
    }

    /// <summary>0 when the path is a directory that may be entered, else the error number.</summary>
    public static int CheckDirectory(string path)
    {
        fixed (byte* text = FileNames.ToBytes(path))
        {
            Libc.Statx info;
            if (Libc.GetStatx(Libc.AT_FDCWD, text, 0, Libc.STATX_BASIC_STATS, &info) != 0)
            {
                return Libc.LastError;
            }

            return !IsType(info, Libc.S_IFDIR) ? Libc.ENOTDIR : Libc.Access(text, X_OK) == 0 ? 0 : Libc.LastError;
        }
    }

    /// <summary>Threads of this process.</summary>
    public static int CountOwnThreads()
    {
        foreach (var line in File.ReadLines("/proc/self/status"))
        {
            if (line.StartsWith("Threads:", StringComparison.Ordinal))
            {
                return int.Parse(line.AsSpan("Threads:".Length), NumberStyles.AllowLeadingWhite, CultureInfo.InvariantCulture);
            }
        }

        return 0;
    }

    private static uint ReadMask()
    {
        var mask = Libc.Umask(0x12);
        _ = Libc.Umask(mask);
        return mask;
    }
}
