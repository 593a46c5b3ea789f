using System.Globalization;
using System.Text;
using DoSandbox.Wire.Local;

namespace DoSandbox.Agent.Supervision;

/// <summary>bubblewrap's arguments in the order in which it carries them out. They go in by a memory file: its command line is readable inside.</summary>
internal sealed class BubblewrapArguments
{
    private const int SharedMemoryBytes = 64 * 1024 * 1024;

    private readonly List<string> _arguments = [];

    private BubblewrapArguments()
    {
    }

    /// <summary>The arguments for one sandbox.</summary>
    /// <param name="request">What was asked for.</param>
    /// <param name="root">What it sees as its root.</param>
    /// <param name="disk">The folder of what it can write to.</param>
    /// <param name="state">Holds the small files of /etc.</param>
    /// <param name="agent">The agent's program on the host.</param>
    /// <param name="command">The beginning of the command line that starts the agent.</param>
    public static BubblewrapArguments For(SuperviseRequest request, SandboxRoot root, string disk, StateFolder state, string agent, out string[] command)
    {
        var arguments = new BubblewrapArguments();

        // --disable-userns needs --unshare-user named, although --unshare-all implies it.
        arguments.Add("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--as-pid-1",
            "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000", "--hostname", request.Name.ToLowerInvariant(), "--clearenv",
            "--seccomp", SandboxProcess.FilterFd.ToString(CultureInfo.InvariantCulture));
        if (request.HostNetwork)
        {
            arguments.Add("--share-net");
        }

        // Parents that bubblewrap makes by itself are closed to all but their owner, which is what they would look like inside.
        foreach (var folder in (string[])["/etc", "/home", "/.dosandbox"])
        {
            arguments.Add("--perms", "0755", "--dir", folder);
        }

        command = root.Mount(arguments, state, agent, request.HostNetwork);
        arguments.Add("--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", SharedMemoryBytes.ToString(CultureInfo.InvariantCulture),
            "--tmpfs", "/dev/shm", "--remount-ro", "/dev");
        arguments.Add("--bind", Path.Combine(disk, "home"), "/home/sandbox", "--bind", Path.Combine(disk, "workspace"), "/workspace",
            "--bind", Path.Combine(disk, "tmp"), "/tmp", "--symlink", "home/sandbox/app", "/app");
        if (request.RootFileSystem is null)
        {
            arguments.Add("--dir", "/var", "--symlink", "/tmp", "/var/tmp", "--dir", "/run");
        }

        foreach (var (name, value) in Environment(request))
        {
            arguments.Add("--setenv", name, value);
        }

        arguments.Add("--remount-ro", "/", "--chdir", "/home/sandbox/app");
        return arguments;
    }

    /// <summary>Adds options as they are.</summary>
    public void Add(params ReadOnlySpan<string> arguments) => _arguments.AddRange(arguments);

    /// <summary>Shows a file or folder of the host, read-only.</summary>
    public void ReadOnly(string source, string target) => Add("--ro-bind", source, target);

    /// <summary>Likewise where it exists.</summary>
    public void ReadOnlyIfThere(string source, string target) => Add("--ro-bind-try", source, target);

    /// <summary>Makes a symbolic link.</summary>
    public void Link(string target, string link) => Add("--symlink", target, link);

    /// <summary>The arguments as --args reads them, each ended by a NUL.</summary>
    public byte[] ToBytes()
    {
        var size = 0;
        foreach (var argument in _arguments)
        {
            size += Encoding.UTF8.GetByteCount(argument) + 1;
        }

        var bytes = new byte[size];
        var offset = 0;
        foreach (var argument in _arguments)
        {
            offset += Encoding.UTF8.GetBytes(argument, bytes.AsSpan(offset)) + 1;
        }

        return bytes;
    }

    private static Dictionary<string, string> Environment(SuperviseRequest request)
    {
        var environment = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ["HOME"] = "/home/sandbox",
            ["USER"] = "sandbox",
            ["LOGNAME"] = "sandbox",
            ["LANG"] = "C.UTF-8",
            ["SANDBOX_NAME"] = request.Name,
        };
        foreach (var (name, value) in request.Environment ?? [])
        {
            environment[name] = value;
        }

        return environment;
    }
}
