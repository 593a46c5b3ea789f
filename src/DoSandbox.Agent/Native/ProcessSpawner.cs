using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Native;

/// <summary>What to start.</summary>
internal sealed record SpawnRequest
{
    /// <summary>Full path of the program; PATH is not searched.</summary>
    public required string Program { get; init; }

    /// <summary>The argument vector, its first element the program's own name.</summary>
    public required IReadOnlyList<string> Arguments { get; init; }

    public required EnvironmentBlock Environment { get; init; }

    /// <summary>Variables on top of <see cref="Environment"/>.</summary>
    public IReadOnlyCollection<KeyValuePair<string, string>>? Variables { get; init; }

    /// <summary>The working directory; this process's own when null.</summary>
    public string? WorkingDirectory { get; init; }

    /// <summary>Descriptors 0, 1 and 2 of the child; /dev/null where null.</summary>
    public SafeFileHandle? Input { get; init; }

    public SafeFileHandle? Output { get; init; }
    public SafeFileHandle? Error { get; init; }

    /// <summary>The terminal that becomes descriptors 0, 1 and 2, and with <see cref="NewSession"/> the controlling one.</summary>
    public string? TerminalPath { get; init; }

    /// <summary>Further descriptors under fixed numbers from 3 on.</summary>
    public IReadOnlyList<(SafeHandle Source, int Target)> Descriptors { get; init; } = [];

    /// <summary>True makes the child the leader of a session and process group of its own.</summary>
    public bool NewSession { get; init; } = true;

    /// <summary>Soft limits that only the child gets: the spawner sets them on itself for the moment of the spawn.</summary>
    public IReadOnlyList<(int Resource, ulong Value)> SoftLimits { get; init; } = [];
}

/// <summary>
/// Starts programs by posix_spawn: every signal at its default and none blocked, and no descriptor but those named.
/// </summary>
internal static unsafe class ProcessSpawner
{
    // glibc's structs are 80 and 336 bytes on x86-64.
    private const int FileActionsSize = 128;
    private const int AttributesSize = 512;
    private const int SignalSetSize = 128;

    // Sources are moved above every target, else an earlier action could overwrite a later one's source.
    private const int FirstTemporary = 64;

    /// <summary>
    /// Starts a program and returns its process id. The caller must not let the child be reaped before it has
    /// registered it: use <see cref="Reaper.Start"/> unless nobody waits in this process.
    /// </summary>
    /// <exception cref="LinuxException">It could not be started; <see cref="LinuxException.Error"/> tells why.</exception>
    /// <exception cref="ArgumentException">A string holds a NUL, or a variable's name is not one.</exception>
    public static int Spawn(SpawnRequest request)
    {
        using var memory = new NativeText();
        var program = memory.Add(request.Program);
        var argv = memory.AddArray(request.Arguments.Count);
        for (var i = 0; i < request.Arguments.Count; i++)
        {
            argv[i] = memory.Add(request.Arguments[i]);
        }

        var envp = request.Environment.With(request.Variables, memory);
        var directory = request.WorkingDirectory is null ? null : memory.Add(request.WorkingDirectory);

        var actions = stackalloc byte[FileActionsSize];
        var attributes = stackalloc byte[AttributesSize];
        var signals = stackalloc byte[SignalSetSize];
        var temporaries = new List<int>();
        Check(Libc.FileActionsInit(actions));
        Check(Libc.SpawnAttributesInit(attributes));
        try
        {
            if (request.TerminalPath is { } terminal)
            {
                // Opened by the leader of a session that has no terminal yet: that makes it the controlling one.
                Check(Libc.FileActionsAddOpen(actions, 0, memory.Add(terminal), Libc.O_RDWR, 0));
                Check(Libc.FileActionsAddDup2(actions, 0, 1));
                Check(Libc.FileActionsAddDup2(actions, 0, 2));
            }
            else
            {
                AddStandard(actions, 0, request.Input);
                AddStandard(actions, 1, request.Output);
                AddStandard(actions, 2, request.Error);
            }

            foreach (var (source, target) in request.Descriptors)
            {
                var copy = Libc.Fcntl((int)source.DangerousGetHandle(), Libc.F_DUPFD_CLOEXEC, FirstTemporary);
                if (copy < 0)
                {
                    throw LinuxException.Last("Cannot duplicate a descriptor");
                }

                temporaries.Add(copy);
                Check(Libc.FileActionsAddDup2(actions, copy, target));
            }

            if (directory is not null)
            {
                Check(Libc.FileActionsAddChdir(actions, directory));
            }

            new Span<byte>(signals, SignalSetSize).Fill(0xff);
            Check(Libc.SpawnAttributesSetDefaultSignals(attributes, signals));
            new Span<byte>(signals, SignalSetSize).Clear();
            Check(Libc.SpawnAttributesSetSignalMask(attributes, signals));
            var flags = Libc.POSIX_SPAWN_SETSIGDEF | Libc.POSIX_SPAWN_SETSIGMASK
                | (request.NewSession ? Libc.POSIX_SPAWN_SETSID : 0);
            Check(Libc.SpawnAttributesSetFlags(attributes, (short)flags));

            int pid;
            int error;
            var limits = new SoftLimits(request.SoftLimits);
            try
            {
                error = Libc.PosixSpawn(&pid, program, actions, attributes, argv, envp);
            }
            finally
            {
                limits.Restore();
            }

            return error == 0 ? pid : throw new LinuxException(error, $"Cannot start {request.Program}");
        }
        finally
        {
            foreach (var fd in temporaries)
            {
                _ = Libc.Close(fd);
            }

            _ = Libc.FileActionsDestroy(actions);
            _ = Libc.SpawnAttributesDestroy(attributes);
            GC.KeepAlive(request);
        }
    }

    private static void AddStandard(void* actions, int target, SafeFileHandle? source)
    {
        if (source is not null)
        {
            Check(Libc.FileActionsAddDup2(actions, (int)source.DangerousGetHandle(), target));
            return;
        }

        fixed (byte* path = "/dev/null"u8)
        {
            Check(Libc.FileActionsAddOpen(actions, target, path, target == 0 ? Libc.O_RDONLY : Libc.O_WRONLY, 0));
        }
    }

    private static void Check(int error)
    {
        if (error != 0)
        {
            throw new LinuxException(error, "Cannot prepare a process");
        }
    }

    /// <summary>This process's soft limits for the moment of a spawn; hard limits are never touched, so it can always go back.</summary>
    private readonly ref struct SoftLimits
    {
        private readonly IReadOnlyList<(int Resource, ulong Value)> _changes;
        private readonly Libc.RLimit[] _before;

        public SoftLimits(IReadOnlyList<(int Resource, ulong Value)> changes)
        {
            _changes = changes;
            _before = new Libc.RLimit[changes.Count];
            for (var i = 0; i < changes.Count; i++)
            {
                Libc.RLimit limit;
                if (Libc.GetRLimit(changes[i].Resource, &limit) == 0)
                {
                    _before[i] = limit;
                    limit.Soft = Math.Min(changes[i].Value, limit.Hard);
                    _ = Libc.SetRLimit(changes[i].Resource, &limit);
                }
            }
        }

        public void Restore()
        {
            for (var i = 0; i < _changes.Count; i++)
            {
                var limit = _before[i];
                _ = Libc.SetRLimit(_changes[i].Resource, &limit);
            }
        }
    }
}
