using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text.Json;
using DoSandbox.Agent.Native;
using DoSandbox.Wire.Local;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Supervision;

/// <summary>
/// One sandbox's supervisor, on the host: makes it, outlives the process that asked for it, ends it when its time is up. Everything that needs
/// root comes first; then root is given up for good, and only then does anything of the sandbox run.
/// </summary>
internal sealed class Supervisor
{

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
    private SandboxDisk? _disk;
    private SandboxProcess? _process;
    private SafeFileHandle? _endFile;
    private Timer? _timer;
    private DateTimeOffset? _expiresAt;
    private string? _stopReason;

    private Supervisor(SuperviseRequest request, bool root)
    {
        _request = request;
        _root = root;
        _state = new StateFolder(request.StateFolder, root);
        _folder = _state.Reserve(request.Name);
    }

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
                ErrorCode = known?.Code ?? CodeOf(exception),
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

    private static string CodeOf(Exception exception) => exception switch
    {
        LinuxException => "CreateFailed",
        IOException or UnauthorizedAccessException => "StateFolder",
        _ => "Internal",
    };

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

        _disk = new SandboxDisk(_folder, _request.Limits.DiskMB, _root);
        var agent = _state.PublishAgent();
        _groups = ControlGroups.Create(_folder.Id, _request.Limits, _root);

        // The kernel takes some 20 ms for the first move in a while; the disk takes as long, so both at once.
        _entering = Task.Run(_groups.Enter);
        _agentSocket = Listen(LocalLayout.AgentSocket);
        var controlSocket = Listen(LocalLayout.ControlSocket);
        _endFile = File.OpenHandle(_folder.File(LocalLayout.EndedFile), FileMode.CreateNew, FileAccess.Write, FileShare.ReadWrite);
        _disk.Prepare();
        var root = PrepareRoot(_disk);
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
        using var arguments = HostSyscalls.MemoryFile("arguments", BubblewrapArguments.For(_request, root, _disk.FullPath, _state, agent, out var command).ToBytes());
        _entering.GetAwaiter().GetResult();
        GiveUpRoot();
        _process = SandboxProcess.Start(_request.Bubblewrap, arguments, command, _agentSocket, _groups, _request.Limits.MaxProcesses);
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

    private SandboxRoot PrepareRoot(SandboxDisk disk)
    {
        if (_request.RootFileSystem is not { } source)
        {
            return SandboxRoot.Host;
        }

        if (Directory.Exists(source))
        {
            return SandboxRoot.FromDirectory(source);
        }

        var unpacked = disk.MakeFolder("root");
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
        var status = _process!.Reap();
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

        _process!.Kill();
    }

    private void RecordEnd(string reason)
    {
        SupervisorLog.Write($"the sandbox ended: {reason}");
        var end = JsonSerializer.SerializeToUtf8Bytes(new LocalSandboxEnd { EndedAt = DateTimeOffset.UtcNow, Reason = reason }, LocalJson.Default.LocalSandboxEnd);
        try
        {
            RandomAccess.Write(_endFile!, end, 0);
            _disk!.Release();
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
