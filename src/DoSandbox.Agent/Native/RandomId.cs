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
        Fill(bytes, 16);
        return Convert.ToHexStringLower(new ReadOnlySpan<byte>(bytes, 16));
    }

    /// <summary>64 random bits.</summary>
    /// <exception cref="LinuxException">The kernel gave none.</exception>
    public static ulong NextNumber()
    {
        ulong number;
        Fill(&number, sizeof(ulong));
        return number;
    }

    private static void Fill(void* buffer, nuint count)
    {
        if (GetRandom(buffer, count, 0) != (nint)count)
        {
            throw LinuxException.Last("Cannot get random bytes");
        }
    }

    [LibraryImport("libc", EntryPoint = "getrandom", SetLastError = true)]
    private static partial nint GetRandom(void* buffer, nuint count, uint flags);
}
