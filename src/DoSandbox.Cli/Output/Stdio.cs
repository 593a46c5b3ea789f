using System.Runtime.InteropServices;
using System.Text;
using DoSandbox.Commands;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Cli.Output;

/// <summary>
/// This program's own streams as bytes. The console's stream takes a closed pipe for success, and a file stream keeps its own position,
/// so that two of them on one file overwrite each other; hence the system's write.
/// </summary>
internal static unsafe partial class Stdio
{
    private const int TryAgain = 11;
    private const int Interrupted = 4;
    private const short PollOut = 4;

    /// <summary>Writes all of it now.</summary>
    /// <returns>False when nobody reads the stream any more.</returns>
    public static bool Write(OutputStream stream, ReadOnlySpan<byte> data)
    {
        if (OperatingSystem.IsWindows())
        {
            using var console = stream == OutputStream.Stdout ? Console.OpenStandardOutput() : Console.OpenStandardError();
            console.Write(data);
            return true;
        }

        var descriptor = stream == OutputStream.Stdout ? 1 : 2;
        while (!data.IsEmpty)
        {
            nint written;
            fixed (byte* start = data)
            {
                written = WriteBytes(descriptor, start, (nuint)data.Length);
            }

            if (written >= 0)
            {
                data = data[(int)written..];
                continue;
            }

            switch (Marshal.GetLastPInvokeError())
            {
                case Interrupted:
                    break;
                case TryAgain:
                    // Another program that shares the terminal or pipe made it non-blocking.
                    var poll = new PollEntry { Descriptor = descriptor, Events = PollOut };
                    _ = Poll(&poll, 1, -1);
                    break;
                default:
                    return false;
            }
        }

        return true;
    }

    /// <summary>A line of our own on standard output.</summary>
    public static void WriteLine(string text) => Write(OutputStream.Stdout, Encoding.UTF8.GetBytes(text + '\n'));

    /// <summary>A line of our own on standard error.</summary>
    public static void WriteErrorLine(string text) => Write(OutputStream.Stderr, Encoding.UTF8.GetBytes(text + '\n'));

    /// <summary>What was redirected to this program, or null when there is nothing to pass on: a terminal, or /dev/null.</summary>
    public static Stream? OpenInput()
    {
        if (!Console.IsInputRedirected)
        {
            return null;
        }

        if (!OperatingSystem.IsLinux())
        {
            return Console.OpenStandardInput();
        }

        var target = new FileInfo("/proc/self/fd/0").LinkTarget;
        if (target is null or "/dev/null")
        {
            return null;
        }

        // A file is read as one, since a stream that can seek goes into the sandbox in a single request.
        return File.Exists(target)
            ? new FileStream(new SafeFileHandle(0, ownsHandle: false), FileAccess.Read, bufferSize: 0)
            : Console.OpenStandardInput();
    }

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial nint WriteBytes(int descriptor, byte* data, nuint count);

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Poll(PollEntry* entries, nuint count, int timeout);

    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        public int Descriptor;
        public short Events;
        public short Happened;
    }
}
