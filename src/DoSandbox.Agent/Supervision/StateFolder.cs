using System.Globalization;
using System.Text.Json;
using DoSandbox.Wire.Local;

namespace DoSandbox.Agent.Supervision;

/// <summary>
/// What the supervisor writes in the state folder: the reservation of a name and a host uid, and the sandbox's own folder. The folder appears
/// under its final name only when its lock is held, so that nobody takes it for what a crash left.
/// </summary>
internal sealed class StateFolder
{
    /// <summary>The first host uid of ours: above systemd's range for containers (which ends at 1879048191), below 2^31.</summary>
    private const uint FirstUid = 1879048192;
    private const int UidCount = 65536;

    private const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    private const UnixFileMode Traversable = Private | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute;
    private const UnixFileMode Readable = Traversable | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    private readonly string _root;
    private readonly bool _asRoot;

    public StateFolder(string root, bool asRoot)
    {
        _root = root;
        _asRoot = asRoot;
        try
        {
            // Code in a sandbox runs as another user when root made it, and must reach its own disk and the agent below here.
            var mode = asRoot ? Traversable : Private;
            Directory.CreateDirectory(root, mode);
            foreach (var folder in (string[])[LocalLayout.Sandboxes, LocalLayout.Agents, "etc"])
            {
                Directory.CreateDirectory(Path.Combine(root, folder), mode);
            }

            Directory.CreateDirectory(NamesFolder, Private);
            Directory.CreateDirectory(UidsFolder, Private);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new SuperviseException("StateFolder", $"The state folder {root} cannot be used: {exception.Message}");
        }
    }

    private string NamesFolder => Path.Combine(_root, LocalLayout.Names);

    private string UidsFolder => Path.Combine(_root, LocalLayout.Uids);

    /// <summary>Reserves what a sandbox needs and makes its folder.</summary>
    /// <exception cref="SuperviseException">NameTaken, StateFolder.</exception>
    public SandboxFolder Reserve(string name)
    {
        var id = Guid.NewGuid().ToString("N")[..16];
        try
        {
            using (StateLock.Take(_root))
            {
                ReserveName(name, id);
                try
                {
                    var uid = _asRoot ? ReserveUid(id) : (uint?)null;
                    return MakeFolder(id, uid);
                }
                catch
                {
                    File.Delete(Path.Combine(NamesFolder, name));
                    throw;
                }
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new SuperviseException("StateFolder", $"The state folder {_root} cannot be used: {exception.Message}");
        }
    }

    /// <summary>
    /// The agent's program where the sandbox's user can read it. Nothing below /root can be bound once root is given up, so root keeps a copy
    /// for each build of it.
    /// </summary>
    public string PublishAgent()
    {
        var program = new FileInfo(Environment.ProcessPath ?? throw new SuperviseException("Internal", "The agent does not know its own path."));
        if (!_asRoot)
        {
            return program.FullName;
        }

        // The time of the build and the length name a build as well as its hash does, and cost no reading of it at every start.
        var folder = Path.Combine(_root, LocalLayout.Agents,
            string.Create(CultureInfo.InvariantCulture, $"{program.LastWriteTimeUtc.Ticks:x}-{program.Length:x}"));
        var copy = Path.Combine(folder, program.Name);
        if (!File.Exists(copy))
        {
            Directory.CreateDirectory(folder, Traversable);
            var temporary = $"{copy}.{Environment.ProcessId}";
            try
            {
                File.Copy(program.FullName, temporary, overwrite: true);
                File.SetUnixFileMode(temporary, Readable);
                File.Move(temporary, copy, overwrite: true);
            }
            catch
            {
                File.Delete(temporary);
                throw;
            }
        }

        return copy;
    }

    /// <summary>A small file that every sandbox sees in its /etc; written when it is not there yet.</summary>
    public string PublishFile(string name, string content)
    {
        var file = Path.Combine(_root, "etc", name);
        if (!File.Exists(file))
        {
            var temporary = $"{file}.{Environment.ProcessId}";
            File.WriteAllText(temporary, content);
            File.SetUnixFileMode(temporary, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead);
            File.Move(temporary, file, overwrite: true);
        }

        return file;
    }

    private void ReserveName(string name, string id)
    {
        var link = Path.Combine(NamesFolder, name);
        if (new FileInfo(link).LinkTarget is { } holder)
        {
            if (IsAlive(holder))
            {
                throw new SuperviseException("NameTaken", $"A sandbox named '{name}' exists already (id {holder}).");
            }

            File.Delete(link);
        }

        File.CreateSymbolicLink(link, id);
    }

    private uint ReserveUid(string id)
    {
        var start = Random.Shared.Next(UidCount);
        for (var step = 0; step < UidCount; step++)
        {
            var uid = FirstUid + (uint)((start + step) % UidCount);
            var link = Path.Combine(UidsFolder, uid.ToString(CultureInfo.InvariantCulture));
            if (new FileInfo(link).LinkTarget is not { } holder)
            {
                File.CreateSymbolicLink(link, id);
                return uid;
            }

            if (!Directory.Exists(Path.Combine(_root, LocalLayout.Sandboxes, holder)))
            {
                File.Delete(link);
                File.CreateSymbolicLink(link, id);
                return uid;
            }
        }

        throw new SuperviseException("LimitExceeded", $"All {UidCount} user ids for sandboxes are in use.", "Remove sandboxes that are no longer needed.");
    }

    private SandboxFolder MakeFolder(string id, uint? uid)
    {
        var final = Path.Combine(_root, LocalLayout.Sandboxes, id);
        var making = Path.Combine(_root, LocalLayout.Sandboxes, $".{id}");
        try
        {
            // Of other users only this sandbox's own may pass: its group is no one else's.
            Directory.CreateDirectory(making, uid is null ? Private : Private | UnixFileMode.GroupExecute);
            if (uid is { } group)
            {
                HostSyscalls.Check(HostSyscalls.Chown(making, 0, group), "chown");
            }

            var held = new FileStream(Path.Combine(making, LocalLayout.LockFile), FileMode.CreateNew, FileAccess.ReadWrite, FileShare.None);
            Directory.Move(making, final);
            return new SandboxFolder(id, final, uid, held);
        }
        catch
        {
            if (Directory.Exists(making))
            {
                Directory.Delete(making, recursive: true);
            }

            if (uid is { } number)
            {
                File.Delete(Path.Combine(UidsFolder, number.ToString(CultureInfo.InvariantCulture)));
            }

            throw;
        }
    }

    private bool IsAlive(string id)
    {
        try
        {
            using var probe = new FileStream(Path.Combine(_root, LocalLayout.Sandboxes, id, LocalLayout.LockFile), FileMode.Open, FileAccess.Read, FileShare.Read);
            return false;
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return false;
        }
        catch (IOException)
        {
            return true;
        }
    }
}

/// <summary>The folder of one sandbox, its lock held for as long as this process lives.</summary>
internal sealed class SandboxFolder(string id, string path, uint? uid, FileStream held)
{
    public string Id { get; } = id;

    public string FullPath { get; } = path;

    /// <summary>Host uid and gid of everything inside, when root made the sandbox.</summary>
    public uint? Uid { get; } = uid;

    /// <summary>The path of a file in it.</summary>
    public string File(string name) => Path.Combine(FullPath, name);

    /// <summary>Writes the record that clients read; whole or not at all.</summary>
    public void WriteRecord(LocalSandboxRecord record)
    {
        var temporary = File(LocalLayout.RecordFile + ".new");
        using (var stream = System.IO.File.Create(temporary))
        {
            JsonSerializer.Serialize(stream, record, LocalJson.Default.LocalSandboxRecord);
        }

        System.IO.File.Move(temporary, File(LocalLayout.RecordFile), overwrite: true);
    }

    /// <summary>Takes back the whole reservation: for a sandbox that could not be made.</summary>
    public void Abandon(string stateFolder, string name)
    {
        try
        {
            Directory.Delete(FullPath, recursive: true);
            if (Uid is { } number)
            {
                System.IO.File.Delete(Path.Combine(stateFolder, LocalLayout.Uids, number.ToString(CultureInfo.InvariantCulture)));
            }

            var link = Path.Combine(stateFolder, LocalLayout.Names, name);
            if (new FileInfo(link).LinkTarget == Id)
            {
                System.IO.File.Delete(link);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // After root was given up this is the client's to do, which it does for every folder whose lock is free.
            SupervisorLog.Write($"left for the next client: {exception.Message}");
        }

        held.Dispose();
    }
}
