using System.Text.Json;
using System.Text.RegularExpressions;
using DoSandbox.Errors;
using DoSandbox.HostProcesses;
using DoSandbox.Sandboxes;
using DoSandbox.Wire.Local;

namespace DoSandbox.Backends.Local;

/// <summary>
/// The state folder as clients see it: which sandboxes there are, which of them live (their supervisor holds the lock file), and the removal
/// of what dead ones left.
/// </summary>
internal sealed partial class LocalState
{
    /// <summary>Names the state folder.</summary>
    public const string HomeVariable = "DOSANDBOX_HOME";

    /// <summary>Room in the address of a unix socket (unix(7): 108 bytes with the final NUL), less "/sandboxes/ID/control.sock".</summary>
    private const int MaxHomeLength = 107 - 40;

    /// <summary>How long one that ended by itself can still be asked why.</summary>
    private static readonly TimeSpan KeepEnded = TimeSpan.FromHours(1);

    /// <summary>After this long a folder that never got a lock belongs to no supervisor that is still starting.</summary>
    private static readonly TimeSpan StartTime = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan RemovalTime = TimeSpan.FromMinutes(5);

    private LocalState(string home) => Home = home;

    /// <summary>The folder: $DOSANDBOX_HOME, else /var/lib/dosandbox for root, else $XDG_STATE_HOME/dosandbox, else ~/.local/state/dosandbox.</summary>
    public string Home { get; }

    /// <summary>The state folder of this process.</summary>
    public static LocalState Current()
    {
        RequireLocks();
        if (Environment.GetEnvironmentVariable(HomeVariable) is { Length: > 0 } named)
        {
            return new LocalState(Path.GetFullPath(named));
        }

        if (Environment.IsPrivilegedProcess)
        {
            return new LocalState("/var/lib/dosandbox");
        }

        var state = Environment.GetEnvironmentVariable("XDG_STATE_HOME") is { Length: > 0 } xdg && Path.IsPathFullyQualified(xdg)
            ? xdg
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".local", "state");
        return new LocalState(Path.Combine(state, "dosandbox"));
    }

    /// <summary>Refuses a folder in which no sandbox could work.</summary>
    /// <exception cref="SandboxException">StateFolder.</exception>
    public void Check()
    {
        if (System.Text.Encoding.UTF8.GetByteCount(Home) > MaxHomeLength)
        {
            throw new SandboxException(SandboxErrorCode.StateFolder, $"The path of the state folder, {Home}, is too long for the sockets in it.",
                $"Name one of at most {MaxHomeLength} bytes in {HomeVariable}.");
        }

        if (!Environment.IsPrivilegedProcess || OperatingSystem.IsWindows())
        {
            return;
        }

        for (var folder = new DirectoryInfo(Home).Parent; folder is not null; folder = folder.Parent)
        {
            if (folder.Exists && (File.GetUnixFileMode(folder.FullName) & UnixFileMode.OtherExecute) == UnixFileMode.None)
            {
                throw new SandboxException(SandboxErrorCode.StateFolder,
                    $"Sandboxes of root run as users of their own, which cannot reach {Home}: others may not pass {folder.FullName}.",
                    $"Name a folder in {HomeVariable} that everyone may pass, or leave it out for /var/lib/dosandbox.");
            }
        }
    }

    /// <summary>The path of a sandbox's folder.</summary>
    public string Folder(string id) => Path.Combine(Home, LocalLayout.Sandboxes, id);

    /// <summary>True for what can be an id; everything else never becomes part of a path.</summary>
    public static bool IsId(string text) => IdPattern().IsMatch(text);

    /// <summary>The id of the sandbox that a name is reserved for, or null.</summary>
    public string? FindByName(string name) => new FileInfo(Path.Combine(Home, LocalLayout.Names, name)).LinkTarget is { } id && IsId(id) ? id : null;

    /// <summary>The sandbox with this id, or null.</summary>
    public Sandbox? Read(string id)
    {
        if (!IsId(id) || ReadRecord(id) is not { } record)
        {
            return null;
        }

        var (state, reason) = IsAlive(id) ? (SandboxState.Running, null) : HowItEnded(id);
        return new Sandbox
        {
            Id = record.Id,
            Name = record.Name,
            Backend = LocalBackend.BackendName,
            State = state,
            StateReason = reason,
            Image = record.Image,
            CreatedAt = record.CreatedAt,
            ExpiresAt = record.ExpiresAt,
            Metadata = record.Metadata ?? [],
        };
    }

    /// <summary>All ids, living and dead.</summary>
    public IEnumerable<string> Ids()
    {
        var folder = Path.Combine(Home, LocalLayout.Sandboxes);
        return Directory.Exists(folder) ? Directory.EnumerateDirectories(folder).Select(path => Path.GetFileName(path)).Where(IsId) : [];
    }

    /// <summary>True while a supervisor holds the sandbox's lock.</summary>
    public bool IsAlive(string id) => IsHeld(Path.Combine(Folder(id), LocalLayout.LockFile));

    /// <summary>The record that the supervisor wrote, or null.</summary>
    public LocalSandboxRecord? ReadRecord(string id)
    {
        try
        {
            using var file = File.OpenRead(Path.Combine(Folder(id), LocalLayout.RecordFile));
            return JsonSerializer.Deserialize(file, LocalJson.Default.LocalSandboxRecord);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }

    /// <summary>Why a dead sandbox is dead.</summary>
    public (SandboxState State, string Reason) HowItEnded(string id)
    {
        try
        {
            using var file = File.OpenRead(Path.Combine(Folder(id), LocalLayout.EndedFile));
            if (file.Length > 0 && JsonSerializer.Deserialize(file, LocalJson.Default.LocalSandboxEnd) is { } end)
            {
                return (SandboxState.Ended, end.Reason);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or JsonException)
        {
            return (SandboxState.Failed, $"it left no word: {exception.Message}");
        }

        return (SandboxState.Failed, "its supervisor was killed");
    }

    /// <summary>Removes all that a dead sandbox left: control groups, disk, folder, and what was reserved for it.</summary>
    /// <exception cref="IOException">Something could not be removed.</exception>
    public async Task RemoveAsync(string id, CancellationToken cancellationToken)
    {
        var record = ReadRecord(id);
        await RemoveResourcesAsync(id, record, cancellationToken).ConfigureAwait(false);
        var folder = Folder(id);
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }

        RemoveReservations();
    }

    /// <summary>Removes what crashes left, as far as this user may. A sandbox that ended by itself is kept for an hour, without its disk.</summary>
    public async Task SweepAsync(CancellationToken cancellationToken)
    {
        var folder = Path.Combine(Home, LocalLayout.Sandboxes);
        if (!Directory.Exists(folder))
        {
            return;
        }

        foreach (var path in Directory.EnumerateDirectories(folder))
        {
            var id = Path.GetFileName(path);
            try
            {
                if (!IsId(id))
                {
                    RemoveUnfinished(path);
                }
                else if (!IsAlive(id))
                {
                    await SweepDeadAsync(id, cancellationToken).ConfigureAwait(false);
                }
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // Another client is at it, or the sandbox is another user's. What stays is tried again by the next.
                continue;
            }
        }
    }

    [GeneratedRegex("^[0-9a-f]{16}$", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex IdPattern();

    /// <summary>Every sandbox would look dead, and be cleaned up, to a client whose runtime leaves out the locking of files.</summary>
    /// <exception cref="SandboxException">StateFolder.</exception>
    private static void RequireLocks()
    {
        if ((AppContext.TryGetSwitch("System.IO.DisableFileLocking", out var off) && off)
            || Environment.GetEnvironmentVariable("DOTNET_SYSTEM_IO_DISABLEFILELOCKING") is "1" or "true" or "TRUE" or "True")
        {
            throw new SandboxException(SandboxErrorCode.StateFolder, "The .NET runtime is told not to lock files, and local sandboxes are told dead from alive by locks.",
                "Remove DOTNET_SYSTEM_IO_DISABLEFILELOCKING from the environment.");
        }
    }

    /// <summary>The groups that root's supervisor makes for an id, for when it was killed before it wrote them down.</summary>
    private static IEnumerable<string> ControlGroupsNamed(string id)
    {
        const string Mounts = "/sys/fs/cgroup";
        return Directory.Exists(Mounts)
            ? Directory.EnumerateDirectories(Mounts).Append(Mounts).Select(mount => Path.Combine(mount, "dosandbox", id))
            : [];
    }

    private static bool IsHeld(string lockFile)
    {
        try
        {
            // Asks for a shared lock: clients that look at the same moment do not take each other for the supervisor.
            using var probe = new FileStream(lockFile, FileMode.Open, FileAccess.Read, FileShare.Read);
            return false;
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException or UnauthorizedAccessException)
        {
            return false;
        }
        catch (IOException)
        {
            return true;
        }
    }

    private async Task SweepDeadAsync(string id, CancellationToken cancellationToken)
    {
        var record = ReadRecord(id);
        if (record is null || DateTime.UtcNow - Directory.GetLastWriteTimeUtc(Folder(id)) > KeepEnded)
        {
            await RemoveAsync(id, cancellationToken).ConfigureAwait(false);
            return;
        }

        await RemoveResourcesAsync(id, record, cancellationToken).ConfigureAwait(false);
    }

    private static void RemoveUnfinished(string path)
    {
        if (DateTime.UtcNow - Directory.GetCreationTimeUtc(path) > StartTime && !IsHeld(Path.Combine(path, LocalLayout.LockFile)))
        {
            Directory.Delete(path, recursive: true);
        }
    }

    private async Task RemoveResourcesAsync(string id, LocalSandboxRecord? record, CancellationToken cancellationToken)
    {
        foreach (var group in (record?.ControlGroups ?? []).Concat(ControlGroupsNamed(id)).Distinct(StringComparer.Ordinal).Where(Directory.Exists))
        {
            // What outlived a supervisor that was killed while it started.
            var kill = Path.Combine(group, "cgroup.kill");
            if (File.Exists(kill))
            {
                await File.WriteAllTextAsync(kill, "1", cancellationToken).ConfigureAwait(false);
            }

            Directory.Delete(group);
        }

        var folder = Folder(id);
        foreach (var name in (string[])["disk.img", LocalLayout.AgentSocket, LocalLayout.ControlSocket])
        {
            // File.Delete throws when the folder is gone, which another client may have removed meanwhile.
            var path = Path.Combine(folder, name);
            if (File.Exists(path))
            {
                File.Delete(path);
            }
        }

        if (Directory.Exists(Path.Combine(folder, "disk")))
        {
            await RemoveDiskAsync(Path.Combine(folder, "disk"), cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Code in the sandbox may have nested folders deeper than any path can name, or closed them to their own owner: the agent's program knows how.</summary>
    private static async Task RemoveDiskAsync(string path, CancellationToken cancellationToken)
    {
        try
        {
            // That of root is empty once its image is no longer mounted.
            Directory.Delete(path);
            return;
        }
        catch (IOException)
        {
            // It holds what was in the sandbox.
        }

        var removal = await HostCommand.For(AgentBinary.Find()).WithArguments("remove-tree", path).WithDeadline(RemovalTime).RunAsync(cancellationToken).ConfigureAwait(false);
        if (!removal.Success)
        {
            throw new IOException($"{path} could not be removed: {SafeText.Clean(removal.Stderr)}");
        }
    }

    /// <summary>Takes back names and user ids whose sandbox is gone, under the lock under which supervisors reserve them.</summary>
    private void RemoveReservations()
    {
        using var held = StateLock.Take(Home);
        foreach (var kind in (string[])[LocalLayout.Names, LocalLayout.Uids])
        {
            foreach (var link in Directory.EnumerateFileSystemEntries(Path.Combine(Home, kind)))
            {
                if (new FileInfo(link).LinkTarget is { } id && !Directory.Exists(Folder(id)))
                {
                    File.Delete(link);
                }
            }
        }
    }
}
