using DoSandbox.Agent.Native;

namespace DoSandbox.Agent.Supervision;

/// <summary>Unpacks a tar archive of a root file system. The archive may be hostile, so tar runs in a sandbox that can write nowhere else.</summary>
internal static class RootArchive
{
    /// <summary>Unpacks <paramref name="archive"/> (plain, gzip, xz or zstd) into <paramref name="folder"/>, device nodes left out.</summary>
    /// <exception cref="SuperviseException">InvalidArgument: not an archive; ToolMissing; DiskFull.</exception>
    public static void Unpack(string bubblewrap, string archive, string folder, uint? owner)
    {
        var option = Compression(archive);
        List<string> command =
        [
            bubblewrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv", "--setenv", "PATH", "/usr/bin:/bin",
            "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
            "--bind", folder, "/root", "--remount-ro", "/", "--chdir", "/root",
            "/usr/bin/tar", "-x", "-f", "-", "--no-same-owner", "--delay-directory-restore", "--exclude=./dev/*", "--exclude=dev/*",
        ];
        if (option is not null)
        {
            command.Add(option);
        }

        if (owner is { } uid)
        {
            var setpriv = HostTools.Find("setpriv") ?? throw new SuperviseException("ToolMissing", "setpriv is missing.", "Install it: apt-get install util-linux");
            command.InsertRange(0, [setpriv, $"--reuid={uid}", $"--regid={uid}", "--clear-groups", "--"]);
        }

        var (exitCode, output) = HostTools.Run(command[0], [.. command.Skip(1)], archive);
        if (exitCode != 0)
        {
            throw new SuperviseException(output.Contains("No space left", StringComparison.Ordinal) ? "DiskFull" : "InvalidArgument",
                $"'{archive}' could not be unpacked: {output.Trim()}");
        }
    }

    private static string? Compression(string archive)
    {
        Span<byte> magic = stackalloc byte[6];
        try
        {
            using var file = File.OpenRead(archive);
            magic = magic[..file.ReadAtLeast(magic, magic.Length, throwOnEndOfStream: false)];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new SuperviseException("InvalidArgument", $"The root file system '{archive}' cannot be read: {exception.Message}", "Name a directory or a tar archive.");
        }

        return magic.StartsWith((ReadOnlySpan<byte>)[0x1f, 0x8b]) ? "--gzip"
            : magic.StartsWith((ReadOnlySpan<byte>)[0xfd, 0x37, 0x7a, 0x58, 0x5a]) ? "--xz"
            : magic.StartsWith((ReadOnlySpan<byte>)[0x28, 0xb5, 0x2f, 0xfd]) ? "--zstd"
            : null;
    }
}
