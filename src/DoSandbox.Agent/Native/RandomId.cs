using System.Runtime.InteropServices;

namespace DoSandbox.Agent.Native;

/// <summary>Random identifiers straight from the kernel: the runtime's own generator would load OpenSSL, which a sandbox may not even have.</summary>
internal static unsafe partial class RandomId
{
    /// <summary>32 lower-case hexadecimal digits.</summary>
    /// <exception cref="LinuxException">The kernel gave none.</exception>
    public static string Next()
    {
        var bytes = stackalloc byte[16];
        return GetRandom(bytes, 16, 0) == 16
            ? Convert.ToHexStringLower(new ReadOnlySpan<byte>(bytes, 16))
            : throw LinuxException.Last("Cannot get random bytes");
    }

    [LibraryImport("libc", EntryPoint = "getrandom", SetLastError = true)]
    private static partial nint GetRandom(void* buffer, nuint count, uint flags);
}
