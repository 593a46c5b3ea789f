using System.Runtime.InteropServices;
using DoSandbox.Errors;

namespace DoSandbox.Files;

/// <summary>What .NET does not tell or do about files of this machine, and its faults in our words.</summary>
internal static partial class LocalFiles
{
    private const int AtCurrentDirectory = -100;
    private const int AtSymlinkNoFollow = 0x100;
    private const uint StatxType = 1;
    private const int TypeMask = 0xf000;
    private const int RegularFile = 0x8000;

    /// <summary>Permission bits that a transfer keeps: setuid, setgid and sticky are not among them.</summary>
    public const UnixFileMode PermissionBits = (UnixFileMode)0x1ff;

    /// <summary>Makes a name that nothing has, for a file or directory on its way, beside where it will be.</summary>
    public static string TemporaryBeside(string path) =>
        Path.Combine(Path.GetDirectoryName(Path.GetFullPath(path)) ?? "/", $".dosandbox-{Guid.NewGuid():N}");

    /// <summary>True when something has this name, be it a link that leads nowhere.</summary>
    public static bool Exists(string path) => new FileInfo(path) is { } info && (info.Exists || info.LinkTarget is not null || Directory.Exists(path));

    /// <summary>True for a link.</summary>
    public static bool IsLink(string path) => new FileInfo(path).LinkTarget is not null;

    /// <summary>False for a pipe, a socket or a device: reading one could wait for ever.</summary>
    public static unsafe bool IsRegularFile(string path)
    {
        if (!OperatingSystem.IsLinux())
        {
            return true;
        }

        // struct statx is the same on every architecture: 256 bytes, the mode at 28.
        var buffer = stackalloc byte[256];
        try
        {
            return StatX(AtCurrentDirectory, path, AtSymlinkNoFollow, StatxType, buffer) != 0 || (*(ushort*)(buffer + 28) & TypeMask) == RegularFile;
        }
        catch (EntryPointNotFoundException)
        {
            return true;
        }
    }

    /// <summary>A second name for a file, where the system has that; else a copy.</summary>
    public static void LinkOrCopy(string existing, string path)
    {
        if (OperatingSystem.IsWindows() || Link(existing, path) != 0)
        {
            File.Copy(existing, path, overwrite: false);
        }
    }

    /// <summary>A file's permission bits; null where the system has none.</summary>
    public static UnixFileMode? ModeOf(string path) => OperatingSystem.IsWindows() ? null : File.GetUnixFileMode(path) & PermissionBits;

    /// <summary>Why a name of a sandbox cannot be a file's name here; null when it can.</summary>
    public static string? WhyNoName(string name)
    {
        if (name.Length == 0 || name is "." or ".." || name.AsSpan().ContainsAny('/', '\0'))
        {
            return "it is no name of a file";
        }

        if (!OperatingSystem.IsWindows())
        {
            return null;
        }

        if (name.AsSpan().IndexOfAny(Path.GetInvalidFileNameChars()) >= 0 || name.Contains('\\', StringComparison.Ordinal) || name.Contains(':', StringComparison.Ordinal))
        {
            return "it holds a character that Windows does not allow";
        }

        if (name[^1] is '.' or ' ')
        {
            return "Windows does not allow a full stop or a space at the end";
        }

        var stem = name.Split('.')[0].TrimEnd().ToUpperInvariant();
        return stem is "CON" or "PRN" or "AUX" or "NUL" or "CONIN$" or "CONOUT$"
            || (stem.Length == 4 && (stem.StartsWith("COM", StringComparison.Ordinal) || stem.StartsWith("LPT", StringComparison.Ordinal)) && !char.IsAsciiLetter(stem[3]))
            ? "it is the name of a device"
            : null;
    }

    /// <summary>A fault of this machine's file system as what it means to the user.</summary>
    public static SandboxException Translate(Exception fault, string path)
    {
        var shown = SafeText.Clean(path, 300);
        return fault switch
        {
            SandboxException known => known,
            UnauthorizedAccessException => new SandboxException(SandboxErrorCode.PermissionDenied, $"Access to {shown} on this machine was denied.", null, fault),
            FileNotFoundException or DirectoryNotFoundException => new SandboxException(SandboxErrorCode.FileNotFound, $"There is no {shown} on this machine.", null, fault),
            IOException { HResult: 28 or 122 or unchecked((int)0x80070070) or unchecked((int)0x80070027) } =>
                new SandboxException(SandboxErrorCode.DiskFull, $"The disk of this machine is full: {shown} could not be written.", "Make room on this machine's disk, or choose another destination.", fault),
            IOException { HResult: 17 or unchecked((int)0x80070050) or unchecked((int)0x800700b7) } =>
                new SandboxException(SandboxErrorCode.FileExists, $"{shown} exists on this machine.", null, fault),
            PathTooLongException => new SandboxException(SandboxErrorCode.InvalidArgument, $"The path {shown} is too long for this machine.", null, fault),
            _ => new SandboxException(SandboxErrorCode.PermissionDenied, $"{shown} on this machine could not be used: {SafeText.Clean(fault.Message)}", null, fault),
        };
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static unsafe partial int StatX(int directory, string path, int flags, uint mask, byte* buffer);

    [LibraryImport("libc", EntryPoint = "link", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Link(string existing, string path);
}
