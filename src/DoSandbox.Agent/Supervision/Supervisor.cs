using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json;
using DoSandbox.Agent.Native;
using DoSandbox.Wire.Local;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Supervision;

/// <summary>
/// One sandbox's supervisor, on the host: makes it, outlives the process that asked for it, ends it when its time is up. Everything that needs
/// root comes first; then root is given up for good, and only then does anything of the sandbox run. All of it is on the main thread, since
/// bubblewrap's --die-with-parent fires at the end of the thread that started it.
/// </summary>
internal sealed class Supervisor
{
    private const int ReadyMilliseconds = 30_000;
    private const long MiB = 1024 * 1024;
    private const long SharedMemoryBytes = 64 * MiB;
    private const int MaxLogInError = 2000;
    private const int SignalInfoSize = 128;

    // Numbers of the descriptors that bubblewrap gets; the first two it hands on to the agent.
    private const int SocketFd = 3;
    private const int ReadyFd = 4;
    private const int FilterFd = 5;
    private const int ArgumentsFd = 6;

    private static readonly TimeSpan LongestSleep = TimeSpan.FromMinutes(10);

    private readonly SuperviseRequest _request;
    private readonly bool _root;
    private readonly SandboxFolder _folder;
    private readonly StateFolder _state;
    private readonly ManualResetEventSlim _ended = new();
    private readonly Lock _stopping = new();
    private ControlGroups? _groups;
    private Task? _entering;
    private Socket? _agentSocket;
    private SafeFileHandle? _lifeline;
    private SafeFileHandle? _image;
    private SafeFileHandle? _endFile;
    private Timer? _timer;
    private DateTimeOffset? _expiresAt;
    private int _bubblewrap;
    private string? _stopReason;

    private Supervisor(SuperviseRequest request, bool root)
    {
        _request = request;
        _root = root;
        _state = new StateFolder(request.StateFolder, root);
        _folder = _state.Reserve(request.Name);
    }

    private string Disk => _folder.File("disk");

    /// <summary>Reads a <see cref="SuperviseRequest"/> from standard input, answers with one <see cref="SuperviseReply"/> line, and stays until the sandbox ended.</summary>
    public static int Run()
    {
        Detach();
        Supervisor? supervisor = null;
        SuperviseReply reply;
        ControlServer? control = null;
        try
        {
            supervisor = new Supervisor(ReadRequest(), HostSyscalls.GetEuid() == 0);
            (var record, control) = supervisor.Begin();
            reply = new SuperviseReply { Sandbox = record };
        }
        catch (Exception exception)
        {
            var known = exception as SuperviseException;
            reply = new SuperviseReply
            {
                ErrorCode = known?.Code ?? (exception is IOException or UnauthorizedAccessException ? "StateFolder" : "Internal"),
                Error = known?.Message ?? exception.Message,
                Advice = known?.Advice,
            };
            supervisor?.GiveUp();
        }

        var told = Answer(reply);
        if (control is null)
        {
            return 1;
        }

        if (!told)
        {
            // Whoever asked for this sandbox is dead, and nobody else knows of it.
            supervisor!.Stop("its client died before it was ready");
        }

        supervisor!.Supervise(control);
        return 0;
    }

    /// <summary>Leaves the terminal and the descriptors of whoever started it: a pipe that this process held open would never end for its reader.</summary>
    private static void Detach()
    {
        foreach (var entry in Directory.GetFiles("/proc/self/fd"))
        {
            // The runtime's own descriptors are all close-on-exec; one that is not came through exec from outside.
            var fd = int.Parse(Path.GetFileName(entry), System.Globalization.CultureInfo.InvariantCulture);
            var flags = HostSyscalls.Fcntl(fd, HostSyscalls.FdGetFlags, 0);
            if (fd > 2 && flags >= 0 && (flags & HostSyscalls.FdCloseOnExec) == 0)
            {
                _ = Libc.Close(fd);
            }
        }

        _ = HostSyscalls.SetSid();
        _ = Libc.Umask(0x12); // 0022: what others must read is readable, and what is secret is made private by name
        Directory.SetCurrentDirectory("/");
    }

    private static SuperviseRequest ReadRequest()
    {
        using var input = new FileStream(new SafeFileHandle(0, ownsHandle: false), FileAccess.Read);
        return JsonSerializer.Deserialize(input, LocalJson.Default.SuperviseRequest)
            ?? throw new SuperviseException("Internal", "The supervisor got no request.");
    }

    /// <summary>False when nobody reads the answer any more.</summary>
    private static bool Answer(SuperviseReply reply)
    {
        var told = true;
        byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(reply, LocalJson.Default.SuperviseReply), (byte)'\n'];
        try
        {
            using var output = new SafeFileHandle(1, ownsHandle: false);
            Descriptors.WriteAll(output, line);
        }
        catch (IOException)
        {
            told = false;
        }

        var nothing = HostSyscalls.Open("/dev/null", Libc.O_RDWR | Libc.O_CLOEXEC);
        _ = HostSyscalls.Dup2(nothing, 0);
        _ = HostSyscalls.Dup2(nothing, 1);
        return told;
    }

    private (LocalSandboxRecord Record, ControlServer Control) Begin()
    {
        var log = HostSyscalls.Check(HostSyscalls.Open(_folder.File(LocalLayout.LogFile),
            Libc.O_RDWR | Libc.O_CREAT | Libc.O_EXCL | HostSyscalls.OpenAppend | Libc.O_CLOEXEC, 0x180), "Making the log"); // 0600
        HostSyscalls.Check(HostSyscalls.Dup2(log, 2), "dup2");
        _ = Libc.Close(log);

        var image = _root && _request.Limits.DiskMB is { } size
            ? Task.Run(() =>
            {
                var path = _folder.File("disk.img");
                DiskImage.Format(path, size);
                return path;
            })
            : null;
        if (image is null && _request.Limits.DiskMB is not null)
        {
            throw new SuperviseException("NotSupported", "The limit -DiskMB cannot be enforced without root.", "Leave out -DiskMB, or run as root.");
        }

        var agent = _state.PublishAgent();
        _groups = ControlGroups.Create(_folder.Id, _request.Limits, _root);

        // The kernel takes some 20 ms for the first move in a while; the disk takes as long, so both at once.
        _entering = Task.Run(_groups.Enter);
        _agentSocket = Listen(LocalLayout.AgentSocket);
        var controlSocket = Listen(LocalLayout.ControlSocket);
        _endFile = File.OpenHandle(_folder.File(LocalLayout.EndedFile), FileMode.CreateNew, FileAccess.Write, FileShare.ReadWrite);
        PrepareDisk(image);
        var root = PrepareRoot();
        CheckImage(root);

        _expiresAt = _request.TimeToLiveSeconds is { } seconds ? DateTimeOffset.UtcNow.AddSeconds(seconds) : null;
        var record = new LocalSandboxRecord
        {
            Id = _folder.Id,
            Name = _request.Name,
            Image = _request.Image,
            CreatedAt = DateTimeOffset.UtcNow,
            ExpiresAt = _expiresAt,
            Metadata = _request.Metadata,
            Limits = _request.Limits,
            HostNetwork = _request.HostNetwork,
            SupervisorPid = Environment.ProcessId,
            HostUid = _folder.Uid,
            ControlGroups = _groups.Folders,
        };
        _folder.WriteRecord(record);
        using var arguments = HostSyscalls.MemoryFile("arguments", Arguments(root, agent, out var command).ToBytes());
        _entering.GetAwaiter().GetResult();
        GiveUpRoot();
        Start(arguments, command, _agentSocket);
        return (record, new ControlServer(controlSocket, Control));
    }

    private Socket Listen(string name)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(_folder.File(name)));
        File.SetUnixFileMode(_folder.File(name), UnixFileMode.UserRead | UnixFileMode.UserWrite);
        socket.Listen(512);
        return socket;
    }

    private void PrepareDisk(Task<string>? image)
    {
        Directory.CreateDirectory(Disk);
        if (image is not null)
        {
            HostSyscalls.Check(HostSyscalls.Unshare(HostSyscalls.CloneNewNs), "unshare");
            HostSyscalls.Check(HostSyscalls.Mount("none", "/", null, HostSyscalls.MsRec | HostSyscalls.MsPrivate, null), "Making mounts private");
            var path = image.GetAwaiter().GetResult();
            try
            {
                DiskImage.Mount(path, Disk);
            }
            catch (SuperviseException exception)
            {
                throw new SuperviseException("NotSupported", $"The limit -DiskMB cannot be enforced here: {exception.Message}",
                    "Use -DiskMB 0 for no limit on the disk, or allow loop devices (in a container: run it privileged).");
            }

            _image = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        }

        foreach (var folder in (string[])["home", "home/app", "workspace", "tmp"])
        {
            Directory.CreateDirectory(Path.Combine(Disk, folder));
            GiveToSandbox(Path.Combine(Disk, folder));
        }

        GiveToSandbox(Disk);
        File.SetUnixFileMode(Path.Combine(Disk, "tmp"), (UnixFileMode)0b1_111_111_111);
    }

    private void GiveToSandbox(string path)
    {
        if (_folder.Uid is { } uid)
        {
            HostSyscalls.Check(HostSyscalls.Chown(path, uid, uid), "chown");
        }
    }

    private SandboxRoot PrepareRoot()
    {
        if (_request.RootFileSystem is not { } source)
        {
            return SandboxRoot.Host;
        }

        if (Directory.Exists(source))
        {
            return SandboxRoot.FromDirectory(source);
        }

        var unpacked = Path.Combine(Disk, "root");
        Directory.CreateDirectory(unpacked);
        GiveToSandbox(unpacked);
        RootArchive.Unpack(_request.Bubblewrap, source, unpacked, _folder.Uid);
        return SandboxRoot.FromDirectory(unpacked);
    }

    private void CheckImage(SandboxRoot root)
    {
        if (_request.RequiredProgram is { } program && !root.Has(program))
        {
            throw new SuperviseException("ToolMissing", $"The image '{_request.Image}' needs {program}, which is not in {_request.RootFileSystem ?? "/usr"}.",
                $"Add {program} to that root, or choose another -Image.");
        }
    }

    private void GiveUpRoot()
    {
        if (_folder.Uid is { } uid)
        {
            HostSyscalls.Check(HostSyscalls.SetGroups(0, 0), "setgroups");
            HostSyscalls.Check(HostSyscalls.SetResGid(uid, uid, uid), "setresgid");
            HostSyscalls.Check(HostSyscalls.SetResUid(uid, uid, uid), "setresuid");
        }
    }

    private void Start(SafeFileHandle arguments, string[] command, Socket agentSocket)
    {
        // When bubblewrap is killed its child becomes ours, so that waiting tells exactly when the last process of the sandbox is gone.
        HostSyscalls.Check(Libc.Prctl(Libc.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl");
        // Its reading end stays open for as long as this process lives: the agent ends with it.
        (_lifeline, var readyWrite) = Descriptors.Pipe();

        // The only listener and the only writer are inside after this: their end is seen at once. Only the descriptor is closed, since
        // disposing a Socket also removes its file.
        using (agentSocket.SafeHandle)
        using (readyWrite)
        using (var filter = HostSyscalls.MemoryFile("seccomp", SeccompFilter.Build()))
        {
            try
            {
                _bubblewrap = HostTools.StartBubblewrap(_request.Bubblewrap,
                    ["--args", Text(ArgumentsFd), "--", .. command, "serve", "--fd", Text(SocketFd), "--ready-fd", Text(ReadyFd), .. ProcessLimit()],
                    [(agentSocket.SafeHandle, SocketFd), (readyWrite, ReadyFd), (filter, FilterFd), (arguments, ArgumentsFd)]);
            }
            finally
            {
                _groups!.Leave();
            }
        }

        if (!WaitForReady(_lifeline))
        {
            Kill();
            ReapAll();
            throw BubblewrapFailure.Explain(ReadLog());
        }
    }

    private string[] ProcessLimit() => _request.Limits.MaxProcesses is { } limit ? ["--max-processes", Text(limit)] : [];

    private static string Text(int number) => number.ToString(System.Globalization.CultureInfo.InvariantCulture);

    private BubblewrapArguments Arguments(SandboxRoot root, string agent, out string[] command)
    {
        var arguments = new BubblewrapArguments();
        // --disable-userns needs --unshare-user named, although --unshare-all implies it.
        arguments.Add("--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session", "--as-pid-1",
            "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000", "--hostname", _request.Name.ToLowerInvariant(), "--clearenv",
            "--seccomp", Text(FilterFd));
        if (_request.HostNetwork)
        {
            arguments.Add("--share-net");
        }

        // Parents that bubblewrap makes by itself are closed to all but their owner, which is what they would look like inside.
        foreach (var folder in (string[])["/etc", "/home", "/.dosandbox"])
        {
            arguments.Add("--perms", "0755", "--dir", folder);
        }

        command = root.Mount(arguments, _state, agent, _request.HostNetwork);
        arguments.Add("--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", SharedMemoryBytes.ToString(System.Globalization.CultureInfo.InvariantCulture),
            "--tmpfs", "/dev/shm", "--remount-ro", "/dev");
        arguments.Add("--bind", Path.Combine(Disk, "home"), "/home/sandbox", "--bind", Path.Combine(Disk, "workspace"), "/workspace",
            "--bind", Path.Combine(Disk, "tmp"), "/tmp", "--symlink", "home/sandbox/app", "/app");
        if (_request.RootFileSystem is null)
        {
            arguments.Add("--dir", "/var", "--symlink", "/tmp", "/var/tmp", "--dir", "/run");
        }

        foreach (var (name, value) in SandboxEnvironment())
        {
            arguments.Add("--setenv", name, value);
        }

        arguments.Add("--remount-ro", "/", "--chdir", "/home/sandbox/app");
        return arguments;
    }

    private Dictionary<string, string> SandboxEnvironment()
    {
        var environment = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ["HOME"] = "/home/sandbox",
            ["USER"] = "sandbox",
            ["LOGNAME"] = "sandbox",
            ["LANG"] = "C.UTF-8",
            ["SANDBOX_NAME"] = _request.Name,
        };
        foreach (var (name, value) in _request.Environment ?? [])
        {
            environment[name] = value;
        }

        return environment;
    }

    private static unsafe bool WaitForReady(SafeFileHandle pipe)
    {
        var poll = new Libc.PollFd { Fd = (int)pipe.DangerousGetHandle(), Events = Libc.POLLIN };
        var deadline = Environment.TickCount64 + ReadyMilliseconds;
        int ready;
        while ((ready = Libc.Poll(&poll, 1, (int)Math.Max(0, deadline - Environment.TickCount64))) < 0 && Libc.LastError == Libc.EINTR)
        {
        }

        if (ready <= 0)
        {
            SupervisorLog.Write($"the agent was not ready within {ReadyMilliseconds} ms");
            return false;
        }

        return Descriptors.Read(pipe, stackalloc byte[1]) == 1;
    }

    /// <summary>The end of the log, by its open descriptor: its name is root's, who has been given up.</summary>
    private static string ReadLog()
    {
        using var log = new SafeFileHandle(2, ownsHandle: false);
        var text = new byte[MaxLogInError];
        var count = RandomAccess.Read(log, text, Math.Max(0, RandomAccess.GetLength(log) - text.Length));
        return System.Text.Encoding.UTF8.GetString(text, 0, count);
    }

    private void Supervise(ControlServer control)
    {
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context =>
        {
            context.Cancel = true;
            Stop("its supervisor was told to stop");
        });
        if (_expiresAt is not null)
        {
            _timer = new Timer(_ => CheckTime());
            CheckTime();
        }

        control.Start();
        var status = ReapAll();
        _timer?.Dispose();
        var reason = _stopReason ?? (_groups!.RanOutOfMemory()
            ? $"it ran out of memory (its limit is {_request.Limits.MemoryMB} MiB)"
            : $"its agent ended ({Describe(status)})");
        RecordEnd(reason);
        _ended.Set();
        control.Finish();
    }

    private static string Describe(ExitStatus status) => status.ExitCode > 128 ? $"signal {status.ExitCode - 128}" : $"exit code {status.ExitCode}";

    /// <summary>Goes by the clock, not by a span: a machine that slept for a day has let a day pass.</summary>
    private void CheckTime()
    {
        var left = _expiresAt!.Value - DateTimeOffset.UtcNow;
        if (left <= TimeSpan.Zero)
        {
            Stop("its time was up");
            return;
        }

        _timer!.Change(left < LongestSleep ? left : LongestSleep, Timeout.InfiniteTimeSpan);
    }

    private ControlReply Control(ControlRequest request)
    {
        if (request.Operation != ControlOperations.Stop)
        {
            return new ControlReply { Error = $"unknown operation '{request.Operation}'" };
        }

        Stop("it was removed");
        return _ended.Wait(TimeSpan.FromSeconds(20))
            ? new ControlReply { Ok = true }
            : new ControlReply { Error = "its processes did not end within 20 s of being killed" };
    }

    private void Stop(string reason)
    {
        lock (_stopping)
        {
            _stopReason ??= reason;
        }

        Kill();
    }

    private void Kill()
    {
        try
        {
            _groups?.Kill();
        }
        catch (IOException exception)
        {
            SupervisorLog.Write($"cgroup.kill: {exception.Message}");
        }

        // bubblewrap's end takes the agent, process 1, with it, and that every other process. Once it is reaped its number is another's.
        lock (_stopping)
        {
            if (_bubblewrap > 0)
            {
                _ = Libc.Kill(_bubblewrap, Libc.SIGKILL);
            }
        }
    }

    /// <summary>Waits until no child is left: bubblewrap, and after it the agent, whose end comes after that of all it started.</summary>
    private unsafe ExitStatus ReapAll()
    {
        var first = default(ExitStatus);
        var info = stackalloc byte[SignalInfoSize];
        while (true)
        {
            // Seen first and reaped under the lock, so that Kill never meets a number that is no longer bubblewrap's.
            if (Libc.WaitId(Libc.P_ALL, 0, info, Libc.WEXITED | Libc.WNOWAIT) != 0)
            {
                if (Libc.LastError == Libc.EINTR)
                {
                    continue;
                }

                return first;
            }

            lock (_stopping)
            {
                int status;
                if (Libc.WaitPid(-1, &status, Libc.WNOHANG) == _bubblewrap)
                {
                    first = new ExitStatus(status);
                    _bubblewrap = 0;
                }
            }
        }
    }

    private void RecordEnd(string reason)
    {
        SupervisorLog.Write($"the sandbox ended: {reason}");
        var end = JsonSerializer.SerializeToUtf8Bytes(new LocalSandboxEnd { EndedAt = DateTimeOffset.UtcNow, Reason = reason }, LocalJson.Default.LocalSandboxEnd);
        try
        {
            RandomAccess.Write(_endFile!, end, 0);
            if (_image is not null)
            {
                // The folder stays for the next client to remove; the room on the disk is given back now.
                RandomAccess.SetLength(_image, 0);
            }
            else
            {
                TreeRemoval.Remove(Disk);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            SupervisorLog.Write($"cleaning up: {exception.Message}");
        }

        _groups!.Remove();
    }

    private void GiveUp()
    {
        if (_groups is not null)
        {
            if (_entering is not null)
            {
                // However it ends: it must not move this process in again after it left.
                _ = Task.WaitAny(_entering);
                _groups.Leave();
            }

            _groups.Remove();
            _groups.Dispose();
        }

        _folder.Abandon(_request.StateFolder, _request.Name);
    }
}
