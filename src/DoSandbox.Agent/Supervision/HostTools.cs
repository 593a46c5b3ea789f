using System.Text;
using DoSandbox.Agent.Native;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Supervision;

/// <summary>Programs of this machine that the supervisor starts. It has no other children while it prepares a sandbox, so each is waited for by its id.</summary>
internal static class HostTools
{
    private const int MaxOutput = 16 * 1024;

    private static readonly string[] Folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

    /// <summary>The full path of a program, or null.</summary>
    public static string? Find(string name) => Folders.Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);

    /// <summary>Runs a program to its end and returns its exit code (128 + n for signal n) and the beginning of its output, both streams together.</summary>
    /// <param name="program">Full path.</param>
    /// <param name="arguments">Without the program's own name.</param>
    /// <param name="inputFile">A file as standard input.</param>
    public static unsafe (int ExitCode, string Output) Run(string program, IReadOnlyList<string> arguments, string? inputFile = null)
    {
        using var input = inputFile is null ? null : File.OpenHandle(inputFile);
        var (read, write) = Descriptors.Pipe();
        using (read)
        {
            int pid;
            using (write)
            {
                pid = ProcessSpawner.Spawn(new SpawnRequest
                {
                    Program = program,
                    Arguments = [Path.GetFileName(program), .. arguments],
                    Environment = EnvironmentBlock.Empty,
                    Variables = [new("PATH", string.Join(':', Folders)), new("LC_ALL", "C.UTF-8")],
                    WorkingDirectory = "/",
                    Input = input,
                    Output = write,
                    Error = write,
                });
            }

            var output = new MemoryStream();
            var buffer = new byte[4096];
            int count;
            while ((count = Descriptors.Read(read, buffer)) > 0)
            {
                output.Write(buffer, 0, (int)Math.Min(count, MaxOutput - output.Length));
            }

            int status;
            while (Libc.WaitPid(pid, &status, 0) < 0 && Libc.LastError == Libc.EINTR)
            {
            }

            return (new ExitStatus(status).ExitCode, Encoding.UTF8.GetString(output.GetBuffer(), 0, (int)output.Length));
        }
    }

    /// <summary>Starts bubblewrap, with descriptors under fixed numbers and the log for its output; it goes on.</summary>
    public static int StartBubblewrap(string program, IReadOnlyList<string> arguments, IReadOnlyList<(System.Runtime.InteropServices.SafeHandle Source, int Target)> descriptors)
    {
        using var log = new SafeFileHandle(2, ownsHandle: false);
        return ProcessSpawner.Spawn(new SpawnRequest
        {
            Program = program,
            Arguments = ["bwrap", .. arguments],
            Environment = EnvironmentBlock.Empty,
            WorkingDirectory = "/",
            Output = log,
            Error = log,
            Descriptors = descriptors,
        });
    }
}
