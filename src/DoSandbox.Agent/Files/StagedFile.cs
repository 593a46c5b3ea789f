using DoSandbox.Agent.Native;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Files;

/// <summary>
/// A file that is written under another name beside its place and moved there when it is whole: nobody ever sees half
/// of it. Not committed, it vanishes.
/// </summary>
internal sealed class StagedFile : IDisposable
{
    private const uint NewFileMode = 0x1FF; // 0777

    private readonly byte[] _target;
    private readonly byte[] _temporary;
    private readonly string _shown;
    private readonly uint _mode;
    private SafeFileHandle? _file;
    private bool _exists;

    private StagedFile(byte[] target, byte[] temporary, uint mode, SafeFileHandle file)
    {
        _target = target;
        _temporary = temporary;
        _shown = FileNames.Show(target);
        _mode = mode;
        _file = file;
        _exists = true;
    }

    /// <summary>Begins a file. Directories above it are made; a link in its place is followed.</summary>
    /// <param name="path">Absolute path.</param>
    /// <param name="mode">The mode, or null for that of the file already there, else the default.</param>
    /// <exception cref="LinuxException">It cannot be made there.</exception>
    public static StagedFile Create(string path, uint? mode)
    {
        var target = FileSystem.Encode(FollowLink(path));
        if (FileSystem.TryStat(target, follow: true) is { } there)
        {
            if (!FileSystem.IsType(there, Libc.S_IFREG))
            {
                throw new LinuxException(
                    FileSystem.IsType(there, Libc.S_IFDIR) ? Libc.EISDIR : Libc.EINVAL,
                    $"Cannot write {path}, which is no regular file");
            }

            mode ??= there.Mode & (uint)FileSystem.PermissionBits;
        }

        var directory = FileNames.Parent(target);
        FileSystem.MakeDirectories(directory);
        var temporary = FileNames.Join(directory, FileNames.ToBytes($".dosandbox-{RandomId.Next()}.part"));
        SafeFileHandle file;
        try
        {
            file = FileSystem.Open(temporary, Libc.O_WRONLY | Libc.O_CREAT | Libc.O_EXCL | Libc.O_NOFOLLOW, 0x180);
        }
        catch (LinuxException e)
        {
            throw new LinuxException(e.Error, $"Cannot write {path}");
        }

        return new StagedFile(target, temporary, mode ?? NewFileMode & ~FileSystem.CreationMask, file);
    }

    /// <summary>Appends.</summary>
    /// <exception cref="LinuxException">As on a full disk.</exception>
    public void Write(ReadOnlySpan<byte> data)
    {
        while (!data.IsEmpty)
        {
            try
            {
                data = data[Descriptors.Write(_file!, data)..];
            }
            catch (LinuxException e)
            {
                throw new LinuxException(e.Error, $"Cannot write {_shown}");
            }
        }
    }

    /// <summary>Closes the file with its mode and owner, still under its other name.</summary>
    public void Finish(uint? owner, uint? group)
    {
        FileSystem.SetOwner(_temporary, owner, group);
        if (Libc.FChmod(_file!, _mode) != 0)
        {
            throw LinuxException.Last($"Cannot change the mode of {_shown}");
        }

        _file!.Dispose();
        _file = null;
    }

    /// <summary>Moves it to its place.</summary>
    public void Commit()
    {
        try
        {
            FileSystem.Rename(_temporary, _target, 0);
        }
        catch (LinuxException e)
        {
            throw new LinuxException(e.Error, $"Cannot write {_shown}");
        }

        _exists = false;
    }

    public void Dispose()
    {
        _file?.Dispose();
        if (_exists)
        {
            _exists = false;
            try
            {
                FileSystem.Unlink(_temporary);
            }
            catch (LinuxException)
            {
                // Its directory may be gone or closed to us by now; the error that led here matters more.
            }
        }
    }

    private static string FollowLink(string path)
    {
        try
        {
            return new FileInfo(path) is { LinkTarget: not null } link
                ? link.ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? path
                : path;
        }
        catch (IOException e)
        {
            throw new LinuxException(Libc.ELOOP, $"Cannot write {path} ({e.Message})");
        }
    }
}
