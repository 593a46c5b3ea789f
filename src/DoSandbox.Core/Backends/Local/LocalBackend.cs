using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using System.Text.RegularExpressions;
using DoSandbox.Connections;
using DoSandbox.Connections.Execd;
using DoSandbox.Errors;
using DoSandbox.HostProcesses;
using DoSandbox.Sandboxes;
using DoSandbox.Wire.Local;

namespace DoSandbox.Backends.Local;

/// <summary>Sandboxes on this machine, by bubblewrap: Linux on x86-64, with nothing running beforehand and no account.</summary>
public sealed partial class LocalBackend : ISandboxBackend
{
    internal const string BackendName = "Local";

    private const string NameAlphabet = "abcdefghijkmnpqrstuvwxyz23456789";
    private const string InstallBubblewrap = "Install bubblewrap 0.8 or later: apt-get install bubblewrap";

    /// <summary>What a sandbox may use where nothing is said and the machine can enforce it.</summary>
    private static readonly LocalLimits DefaultLimits = new() { MemoryMB = 1024, MaxProcesses = 512, DiskMB = 2048 };

    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(25);
    private static readonly TimeSpan EndTimeout = TimeSpan.FromSeconds(10);

    /// <inheritdoc/>
    public string Name => BackendName;

    /// <inheritdoc/>
    public BackendCapabilities Capabilities => BackendCapabilities.Limits | BackendCapabilities.NetworkIsolation | BackendCapabilities.RootFileSystem;

    /// <inheritdoc/>
    public async Task<BackendStatus> ProbeAsync(bool thorough, CancellationToken cancellationToken)
    {
        try
        {
            var bubblewrap = Require();
            LocalState.Current().Check();
            return new BackendStatus
            {
                Name = Name,
                Capabilities = Capabilities,
                Usable = true,
                Reason = thorough ? await BubblewrapProbe.TryAsync(bubblewrap, cancellationToken).ConfigureAwait(false) : "bubblewrap is there",
            };
        }
        catch (SandboxException exception)
        {
            return new BackendStatus { Name = Name, Capabilities = Capabilities, Usable = false, Reason = exception.Message, Advice = exception.Advice };
        }
    }

    /// <inheritdoc/>
    public async Task<Sandbox> CreateAsync(SandboxSpec spec, IProgress<SandboxProgress>? progress, CancellationToken cancellationToken)
    {
        var bubblewrap = Require();
        var agent = AgentBinary.Find();
        var state = LocalState.Current();
        state.Check();
        var request = Validate(spec, state, bubblewrap);
        progress?.Report(new SandboxProgress($"Making sandbox {request.Name}", "Starting bubblewrap"));
        await state.SweepAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var record = await SupervisorClient.StartAsync(agent, request, spec.ReadyTimeout, cancellationToken).ConfigureAwait(false);
            return state.Read(record.Id)
                ?? throw new SandboxException(SandboxErrorCode.CreateFailed, $"The sandbox {record.Id} was made, and is gone already.");
        }
        catch (Exception exception)
        {
            // What needed root before the failure is still there: the supervisor had given root up.
            await RemoveFailedAsync(state, request.Name).ConfigureAwait(false);
            if (exception is SandboxException { Code: SandboxErrorCode.ToolTooOld or SandboxErrorCode.CreateFailed or SandboxErrorCode.BackendUnavailable })
            {
                // A version that is too old fails in many ways: say so where that is the cause.
                await BubblewrapProbe.RequireVersionAsync(bubblewrap, cancellationToken).ConfigureAwait(false);
            }

            throw;
        }
    }

    /// <inheritdoc/>
    public Task<Sandbox?> GetAsync(string id, CancellationToken cancellationToken) => Task.FromResult(LocalState.Current().Read(id));

    /// <inheritdoc/>
    public async IAsyncEnumerable<Sandbox> ListAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var state = LocalState.Current();
        await state.SweepAsync(cancellationToken).ConfigureAwait(false);
        foreach (var sandbox in state.Ids().Select(state.Read).OfType<Sandbox>().OrderBy(sandbox => sandbox.CreatedAt).ToList())
        {
            cancellationToken.ThrowIfCancellationRequested();
            yield return sandbox;
        }
    }

    /// <inheritdoc/>
    public async Task DeleteAsync(Sandbox sandbox, CancellationToken cancellationToken)
    {
        var state = LocalState.Current();
        if (!LocalState.IsId(sandbox.Id) || !Directory.Exists(state.Folder(sandbox.Id)))
        {
            return;
        }

        if (state.IsAlive(sandbox.Id))
        {
            await StopAsync(state, sandbox.Id, cancellationToken).ConfigureAwait(false);
        }

        await RemoveAsync(state, sandbox.Id, cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public Task<ISandboxConnection> ConnectAsync(Sandbox sandbox, CancellationToken cancellationToken)
    {
        var state = LocalState.Current();
        var now = state.Read(sandbox.Id) ?? throw new SandboxException(SandboxErrorCode.SandboxNotFound, $"There is no local sandbox {sandbox.Id} any more.");
        return now.State == SandboxState.Running
            ? Task.FromResult<ISandboxConnection>(ExecdConnection.ForUnixSocket(Path.Combine(state.Folder(sandbox.Id), LocalLayout.AgentSocket), sandbox.Id,
                token => ExplainLossAsync(state, sandbox.Id, token)))
            : throw Ended(now);
    }

    [GeneratedRegex("^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex NamePattern();

    private static string Require()
    {
        if (!OperatingSystem.IsLinux() || System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture != System.Runtime.InteropServices.Architecture.X64)
        {
            throw new SandboxException(SandboxErrorCode.BackendUnavailable, "Local sandboxes need Linux on x86-64.", "Use another backend, or run this in WSL 2 or on a Linux machine.");
        }

        _ = AgentBinary.Find();
        return HostCommand.Find("bwrap") ?? throw new SandboxException(SandboxErrorCode.ToolMissing, "bubblewrap (bwrap) is not on PATH.", InstallBubblewrap);
    }

    private static SuperviseRequest Validate(SandboxSpec spec, LocalState state, string bubblewrap)
    {
        var name = spec.Name ?? $"sandbox-{RandomNumberGenerator.GetString(NameAlphabet, 6)}";
        if (!NamePattern().IsMatch(name) || LocalState.IsId(name))
        {
            throw Invalid($"'{SafeText.Clean(name, 80)}' is no name for a local sandbox.",
                "Use 1 to 63 letters, digits, '-', '_' and '.', beginning with a letter or digit; 16 hexadecimal digits would be an id.");
        }

        // A root of the user's own need not hold what an image promises, unless one is named.
        var image = spec.Image is null ? (spec.RootFileSystem is null ? LocalImage.Default : null) : LocalImage.Find(spec.Image);
        if (spec.RootFileSystem is { } root && !Path.Exists(root))
        {
            throw Invalid($"The root file system '{SafeText.Clean(root)}' does not exist.", "Name a directory or a tar archive.");
        }
        else if (spec.RootFileSystem is null)
        {
            image!.RequireOnHost();
        }

        foreach (var (variable, value) in spec.Environment)
        {
            if (variable.Length == 0 || variable.AsSpan().ContainsAny('=', '\0') || value.Contains('\0', StringComparison.Ordinal))
            {
                throw Invalid($"The environment variable '{SafeText.Clean(variable, 80)}' has a name or a value that no environment can hold.", "Use a name without '=', and a value without NUL.");
            }
        }

        return new SuperviseRequest
        {
            StateFolder = state.Home,
            Name = name,
            Image = image?.Name ?? Path.GetFileName(Path.TrimEndingDirectorySeparator(spec.RootFileSystem!)),
            RequiredProgram = image?.Program,
            RootFileSystem = spec.RootFileSystem is null ? null : Path.GetFullPath(spec.RootFileSystem),
            Environment = spec.Environment.Count == 0 ? null : new Dictionary<string, string>(spec.Environment),
            Metadata = spec.Metadata.Count == 0 ? null : new Dictionary<string, string>(spec.Metadata),
            Limits = ToLimits(spec.Limits),
            HostNetwork = spec.Network == SandboxNetwork.Host,
            TimeToLiveSeconds = spec.TimeToLive is { } life ? Seconds(life) : null,
            Bubblewrap = bubblewrap,
        };
    }

    private static long Seconds(TimeSpan life) => life >= TimeSpan.FromSeconds(1) && life <= TimeSpan.FromDays(365)
        ? (long)Math.Ceiling(life.TotalSeconds)
        : throw Invalid("The time to live is out of bounds.", "Use 1 second to 365 days.");

    private static LocalLimits ToLimits(SandboxLimits limits)
    {
        // 0 is the way to say that a default is not wanted.
        Bound(limits.MemoryMB, 64, 16 * 1024 * 1024, "memory in MiB");
        Bound(limits.DiskMB, 16, 16 * 1024 * 1024, "disk in MiB");
        Bound(limits.MaxProcesses, 8, 32768, "number of processes");
        Bound(limits.CpuCount, 0.01, 4096, "number of CPUs");

        // Without root a default that cannot be enforced is left out; one that was asked for is refused by the supervisor.
        var defaults = Environment.IsPrivilegedProcess ? DefaultLimits : new LocalLimits { MaxProcesses = DefaultLimits.MaxProcesses };
        return new LocalLimits
        {
            MemoryMB = Chosen(limits.MemoryMB, defaults.MemoryMB),
            CpuCount = Chosen(limits.CpuCount, null),
            MaxProcesses = Chosen(limits.MaxProcesses, defaults.MaxProcesses),
            DiskMB = Chosen(limits.DiskMB, defaults.DiskMB),
        };
    }

    private static T? Chosen<T>(T? given, T? byDefault)
        where T : struct, IEquatable<T> =>
        given is { } value ? (value.Equals(default) ? null : value) : byDefault;

    private static void Bound(double? value, double least, double most, string what)
    {
        if (value is { } number and not 0 && !(number >= least && number <= most))
        {
            throw Invalid(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"The limit on the {what}, {number}, is out of bounds."),
                string.Create(System.Globalization.CultureInfo.InvariantCulture, $"Use {least} to {most}, or 0 for no limit."));
        }
    }

    private static SandboxException Invalid(string message, string advice) => new(SandboxErrorCode.InvalidArgument, message, advice);

    private static SandboxException Ended(Sandbox sandbox) =>
        new(SandboxErrorCode.SandboxEnded, $"The sandbox '{sandbox.Name}' has ended: {SafeText.Clean(sandbox.StateReason)}.") { SandboxId = sandbox.Id };

    /// <summary>Why a connection broke: null while the sandbox lives. The agent's end is seen a moment before the supervisor has told why.</summary>
    private static async Task<SandboxException?> ExplainLossAsync(LocalState state, string id, CancellationToken cancellationToken)
    {
        for (var attempt = 0; attempt < 20 && state.IsAlive(id); attempt++)
        {
            await Task.Delay(50, cancellationToken).ConfigureAwait(false);
        }

        return state.Read(id) switch
        {
            null => new SandboxException(SandboxErrorCode.SandboxEnded, "The sandbox was removed.") { SandboxId = id },
            { State: SandboxState.Running } => null,
            var ended => Ended(ended),
        };
    }

    /// <summary>Removes what a creation that failed left under its name, unless the name is another's, who lives.</summary>
    private static async Task RemoveFailedAsync(LocalState state, string name)
    {
        try
        {
            if (state.FindByName(name) is { } id && !state.IsAlive(id))
            {
                await RemoveAsync(state, id, CancellationToken.None).ConfigureAwait(false);
            }

            await state.SweepAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is SandboxException or IOException or UnauthorizedAccessException)
        {
            // Why the creation failed matters more; the next client tries again.
            return;
        }
    }

    private static async Task StopAsync(LocalState state, string id, CancellationToken cancellationToken)
    {
        var record = state.ReadRecord(id);
        var reply = await SupervisorClient.AskAsync(Path.Combine(state.Folder(id), LocalLayout.ControlSocket),
            new ControlRequest { Operation = ControlOperations.Stop }, StopTimeout, cancellationToken).ConfigureAwait(false);
        if (reply is not { Ok: true } && record is not null && state.IsAlive(id))
        {
            SupervisorProcess.Kill(record.SupervisorPid);
        }

        var deadline = Environment.TickCount64 + (long)EndTimeout.TotalMilliseconds;
        while (state.IsAlive(id))
        {
            if (Environment.TickCount64 > deadline)
            {
                throw new SandboxException(SandboxErrorCode.RemoveFailed, $"The supervisor of the sandbox {id} (process {record?.SupervisorPid}) does not end. {SafeText.Clean(reply?.Error)}".TrimEnd())
                {
                    SandboxId = id,
                };
            }

            await Task.Delay(5, cancellationToken).ConfigureAwait(false);
        }
    }

    private static async Task RemoveAsync(LocalState state, string id, CancellationToken cancellationToken)
    {
        var deadline = Environment.TickCount64 + (long)EndTimeout.TotalMilliseconds;
        while (true)
        {
            try
            {
                await state.RemoveAsync(id, cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // A control group is busy until the last of what was in it is reaped.
                if (Environment.TickCount64 > deadline)
                {
                    throw new SandboxException(SandboxErrorCode.RemoveFailed, $"Not all of the sandbox {id} could be removed: {exception.Message}", inner: exception) { SandboxId = id };
                }
            }

            await Task.Delay(10, cancellationToken).ConfigureAwait(false);
        }
    }
}
