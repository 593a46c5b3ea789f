namespace DoSandbox.Agent.Supervision;

/// <summary>What a sandbox sees as its root, read-only: the host's programs, or another root from a directory.</summary>
internal sealed class SandboxRoot
{
    /// <summary>Where our own files are mounted; in no one's way.</summary>
    private const string Own = "/.dosandbox";

    /// <summary>What lies on the sandbox's own disk, is made new for it, or holds the host's secrets: never taken from a root.</summary>
    private static readonly HashSet<string> NotTaken = new(StringComparer.Ordinal)
    {
        "proc", "sys", "dev", "tmp", "home", "root", "run", "app", "workspace", "lost+found", ".dosandbox",
    };

    private static readonly string[] HostEtc = ["nsswitch.conf", "ld.so.cache", "alternatives", "ssl/certs", "localtime"];

    private static readonly string[] ProgramFolders = ["usr/local/bin", "usr/bin", "bin", "usr/local/sbin", "usr/sbin", "sbin"];

    private readonly string? _directory;

    private SandboxRoot(string? directory) => _directory = directory;

    /// <summary>The host's own /usr, /bin and /lib.</summary>
    public static SandboxRoot Host { get; } = new(null);

    /// <summary>The root in a directory.</summary>
    /// <exception cref="SuperviseException">InvalidArgument: it holds no shell.</exception>
    public static SandboxRoot FromDirectory(string directory)
    {
        var root = new SandboxRoot(directory);
        return root.Has("sh") ? root : throw new SuperviseException("InvalidArgument",
            $"'{directory}' holds no root file system: there is no program 'sh' in it.", "Name the folder that holds bin, usr and etc, or a tar archive of it.");
    }

    /// <summary>True when a program is in one of the usual folders. Links are not followed: they lead to places in the root, not on the host.</summary>
    public bool Has(string program) =>
        ProgramFolders.Select(folder => new FileInfo(Path.Combine(_directory ?? "/", folder, program))).Any(file => file.Exists || file.LinkTarget is not null);

    /// <summary>Adds the mounts of the root, and how the agent is started in it.</summary>
    /// <param name="arguments">bubblewrap's arguments.</param>
    /// <param name="state">Holds the small files of /etc.</param>
    /// <param name="agent">The agent's program on the host.</param>
    /// <param name="hostNetwork">True when names are to be resolved as on the host.</param>
    /// <returns>The beginning of the command line that starts the agent.</returns>
    public string[] Mount(BubblewrapArguments arguments, StateFolder state, string agent, bool hostNetwork)
    {
        if (_directory is null)
        {
            arguments.ReadOnly("/usr", "/usr");
            foreach (var name in (string[])["bin", "sbin", "lib", "lib32", "lib64", "libx32"])
            {
                MountEntry(arguments, "/", name);
            }

            foreach (var name in HostEtc)
            {
                arguments.ReadOnlyIfThere($"/etc/{name}", $"/etc/{name}");
            }
        }
        else
        {
            foreach (var entry in Directory.EnumerateFileSystemEntries(_directory))
            {
                if (!NotTaken.Contains(Path.GetFileName(entry)))
                {
                    MountEntry(arguments, _directory, Path.GetFileName(entry));
                }
            }
        }

        // bubblewrap cannot make a file below a read-only mount, so a root without these keeps its own idea of them.
        if (_directory is null || File.Exists(Path.Combine(_directory, "etc/passwd")))
        {
            arguments.ReadOnly(state.PublishFile("passwd", "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nsandbox:x:1000:1000:sandbox:/home/sandbox:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"), "/etc/passwd");
        }

        if (_directory is null || File.Exists(Path.Combine(_directory, "etc/group")))
        {
            arguments.ReadOnly(state.PublishFile("group", "root:x:0:\nsandbox:x:1000:\nnogroup:x:65534:\n"), "/etc/group");
        }

        if (hostNetwork)
        {
            arguments.ReadOnlyIfThere("/etc/hosts", "/etc/hosts");
            arguments.ReadOnlyIfThere("/etc/resolv.conf", "/etc/resolv.conf");
        }
        else if (_directory is null || File.Exists(Path.Combine(_directory, "etc/hosts")))
        {
            arguments.ReadOnly(state.PublishFile("hosts", "127.0.0.1 localhost\n::1 localhost\n"), "/etc/hosts");
        }

        var program = $"{Own}/dosandbox-agent";
        arguments.ReadOnly(agent, program);
        if (_directory is null)
        {
            return [program];
        }

        // The agent needs glibc 2.34, which another root need not have (or it has musl): the host's loader and libraries stand beside it.
        arguments.ReadOnly("/lib64/ld-linux-x86-64.so.2", $"{Own}/lib/ld-linux-x86-64.so.2");
        foreach (var library in (string[])["libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"])
        {
            arguments.ReadOnlyIfThere(FindLibrary(library), $"{Own}/lib/{library}");
        }

        return [$"{Own}/lib/ld-linux-x86-64.so.2", "--library-path", $"{Own}/lib", program];
    }

    private static string FindLibrary(string name) =>
        ((string[])["/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/usr/lib", "/lib"]).Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists)
        ?? $"/lib/x86_64-linux-gnu/{name}";

    private static void MountEntry(BubblewrapArguments arguments, string root, string name)
    {
        var entry = new FileInfo(Path.Combine(root, name));
        if (entry.LinkTarget is { } target)
        {
            arguments.Link(target, $"/{name}");
        }
        else if (entry.Exists || Directory.Exists(entry.FullName))
        {
            arguments.ReadOnly(entry.FullName, $"/{name}");
        }
    }
}
