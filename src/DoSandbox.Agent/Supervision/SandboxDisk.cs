using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Supervision;

/// <summary>What a sandbox can write to: a folder on the host's disk, or with root a disk of its own that is mounted there.</summary>
internal sealed class SandboxDisk
{
    private readonly uint? _owner;
    private readonly string _imagePath;
    private readonly Task? _formatting;
    private SafeFileHandle? _image;

    /// <summary>Begins to make it: the file system of an image is made while the caller does other things.</summary>
    /// <exception cref="SuperviseException">NotSupported: a size was asked for, which only root can enforce.</exception>
    public SandboxDisk(SandboxFolder folder, long? megabytes, bool root)
    {
        FullPath = folder.File("disk");
        _owner = folder.Uid;
        _imagePath = folder.File("disk.img");
        if (megabytes is { } size)
        {
            _formatting = root ? Task.Run(() => DiskImage.Format(_imagePath, size))
                : throw new SuperviseException("NotSupported", "The limit -DiskMB cannot be enforced without root.", "Leave out -DiskMB, or run as root.");
        }
    }

    /// <summary>The folder, as the host and bubblewrap see it.</summary>
    public string FullPath { get; }

    /// <summary>Mounts it where only this thread and what it starts see it, and makes the folders that every sandbox has.</summary>
    /// <exception cref="SuperviseException">DiskFull, ToolMissing, NotSupported.</exception>
    public void Prepare()
    {
        Directory.CreateDirectory(FullPath);
        if (_formatting is not null)
        {
            Mount();
        }

        foreach (var folder in (string[])["home", "home/app", "workspace", "tmp"])
        {
            MakeFolder(folder);
        }

        Give(FullPath);
        File.SetUnixFileMode(Path.Combine(FullPath, "tmp"), (UnixFileMode)0b1_111_111_111);
    }

    /// <summary>Makes a folder that belongs to the sandbox.</summary>
    public string MakeFolder(string name)
    {
        var path = Directory.CreateDirectory(Path.Combine(FullPath, name)).FullName;
        Give(path);
        return path;
    }

    /// <summary>Gives its room back, once nothing of the sandbox runs. Where the rights to remove it are gone, the next client does.</summary>
    /// <exception cref="IOException">Not all of it could be removed.</exception>
    public void Release()
    {
        if (_image is not null)
        {
            RandomAccess.SetLength(_image, 0);
        }
        else
        {
            TreeRemoval.Remove(FullPath);
        }
    }

    private void Mount()
    {
        HostSyscalls.Check(HostSyscalls.Unshare(HostSyscalls.CloneNewNs), "unshare");
        HostSyscalls.Check(HostSyscalls.Mount("none", "/", null, HostSyscalls.MsRec | HostSyscalls.MsPrivate, null), "Making mounts private");
        _formatting!.GetAwaiter().GetResult();
        try
        {
            DiskImage.Mount(_imagePath, FullPath);
        }
        catch (SuperviseException exception)
        {
            throw new SuperviseException("NotSupported", $"The limit -DiskMB cannot be enforced here: {exception.Message}",
                "Use -DiskMB 0 for no limit on the disk, or allow loop devices (in a container: run it privileged).");
        }

        _image = File.OpenHandle(_imagePath, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
    }

    private void Give(string path)
    {
        if (_owner is { } uid)
        {
            HostSyscalls.Check(HostSyscalls.Chown(path, uid, uid), "chown");
        }
    }
}
