using System.Globalization;
using DoSandbox.Agent.Native;
using DoSandbox.Wire.Execd;

namespace DoSandbox.Agent.Files;

/// <summary>Files as the API tells them.</summary>
internal sealed class FileEntries(Accounts accounts)
{
    public FileEntry Describe(byte[] path, in Libc.Statx info) => new()
    {
        Path = FileNames.Show(path),
        Type = (info.Mode & Libc.S_IFMT) switch
        {
            Libc.S_IFREG => "file",
            Libc.S_IFDIR => "directory",
            Libc.S_IFLNK => "symlink",
            _ => "other",
        },
        Size = (long)info.Size,
        ModifiedAt = Time(info.ModifyTime),
        CreatedAt = Time((info.Mask & Libc.STATX_BTIME) != 0 ? info.BirthTime : info.ChangeTime),
        Owner = accounts.UserName(info.Uid),
        Group = accounts.GroupName(info.Gid),
        Mode = ToDigits(info.Mode & FileSystem.PermissionBits),
    };

    /// <summary>0755 as 755.</summary>
    public static int ToDigits(int mode) => int.Parse(Convert.ToString(mode, 8), CultureInfo.InvariantCulture);

    /// <summary>755 as 0755; null when the digits are not octal or are too many.</summary>
    public static uint? FromDigits(int digits)
    {
        uint result = 0;
        if (digits is < 0 or > 7777)
        {
            return null;
        }

        foreach (var digit in digits.ToString(CultureInfo.InvariantCulture))
        {
            if (digit > '7')
            {
                return null;
            }

            result = result * 8 + (uint)(digit - '0');
        }

        return result;
    }

    private static DateTimeOffset Time(Libc.StatxTime time)
    {
        const long LastSecond = 253402300799;
        return DateTimeOffset.FromUnixTimeSeconds(Math.Clamp(time.Seconds, 0, LastSecond)).AddTicks(time.Nanoseconds / 100);
    }
}
