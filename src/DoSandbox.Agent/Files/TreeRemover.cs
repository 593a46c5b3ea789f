using DoSandbox.Agent.Native;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Files;

/// <summary>
/// Removes a directory with everything in it, by open directories and single names: a link that is put in the way is
/// removed, never followed. A tree too deep to hold a directory open for each level is moved up piece by piece.
/// </summary>
internal sealed unsafe class TreeRemover
{
    private const int MaxDepth = 128;

    /// <summary>0700: what its owner may do with a directory to empty it.</summary>
    private const uint OwnerOnly = 0x1C0;

    private readonly string _shown;
    private readonly bool _openClosed;
    private SafeFileHandle? _top;

    private TreeRemover(string shown, bool openClosed)
    {
        _shown = shown;
        _openClosed = openClosed;
    }

    /// <summary>Removes what a path names, file or directory; nothing there is fine.</summary>
    /// <param name="path">The path's bytes, ended by a NUL.</param>
    /// <param name="openClosed">
    /// True to open up directories whose mode keeps their own owner out.
    /// </param>
    /// <exception cref="LinuxException">Something could not be removed; what came before is gone.</exception>
    public static void Remove(byte[] path, bool openClosed = false)
    {
        if (FileSystem.TryStat(path, follow: false) is not { } info)
        {
            return;
        }

        if (!FileSystem.IsType(info, Libc.S_IFDIR))
        {
            FileSystem.Unlink(path);
            return;
        }

        var remover = new TreeRemover(FileNames.Show(path), openClosed);
        fixed (byte* text = path)
        {
            remover.Open(Libc.AT_FDCWD, text);
        }

        using (var directory = FileSystem.Open(path, Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_NOFOLLOW))
        {
            remover._top = directory;

            // Pieces that were moved up land in the top directory again.
            bool again;
            do
            {
                again = remover.Empty(directory, 0);
            }
            while (again);
        }

        fixed (byte* text = path)
        {
            if (Libc.UnlinkAt(Libc.AT_FDCWD, text, Libc.AT_REMOVEDIR) != 0 && Libc.LastError != Libc.ENOENT)
            {
                throw LinuxException.Last($"Cannot remove {remover._shown}");
            }
        }
    }

    /// <summary>Empties a directory. True when a part of it was moved up and waits there.</summary>
    private bool Empty(SafeFileHandle directory, int depth)
    {
        var moved = false;
        var fd = (int)directory.DangerousGetHandle();
        using var listing = Reopen(directory);
        var names = DirectoryReader.Read(listing);
        for (var i = 0; i < names.Count; i++)
        {
            byte[] name = [.. names[i], 0];
            fixed (byte* text = name)
            {
                if (Libc.UnlinkAt(fd, text, 0) == 0 || Libc.LastError == Libc.ENOENT)
                {
                    continue;
                }

                if (Libc.LastError is not (Libc.EISDIR or Libc.EPERM))
                {
                    throw LinuxException.Last($"Cannot remove {FileNames.Show(name)} in {_shown}");
                }

                if (depth >= MaxDepth)
                {
                    MoveUp(fd, text);
                    moved = true;
                    continue;
                }

                Open(fd, text);
                var below = Libc.OpenAt(fd, text, Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_NOFOLLOW | Libc.O_CLOEXEC, 0);
                if (below < 0)
                {
                    throw LinuxException.Last($"Cannot remove {FileNames.Show(name)} in {_shown}");
                }

                using (var child = new SafeFileHandle(below, ownsHandle: true))
                {
                    moved |= Empty(child, depth + 1);
                }

                if (Libc.UnlinkAt(fd, text, Libc.AT_REMOVEDIR) != 0 && Libc.LastError != Libc.ENOENT)
                {
                    throw LinuxException.Last($"Cannot remove {FileNames.Show(name)} in {_shown}");
                }
            }
        }

        return moved;
    }

    private void Open(int directory, byte* name)
    {
        if (!_openClosed)
        {
            return;
        }

        // By a descriptor that only names the directory: a link in its place is not followed, and its mode need not allow opening.
        var named = Libc.OpenAt(directory, name, Libc.O_PATH | Libc.O_NOFOLLOW | Libc.O_DIRECTORY | Libc.O_CLOEXEC, 0);
        if (named >= 0)
        {
            fixed (byte* path = FileNames.ToBytes($"/proc/self/fd/{named}"))
            {
                _ = Libc.Chmod(path, OwnerOnly);
            }

            _ = Libc.Close(named);
        }
    }

    private void MoveUp(int directory, byte* name)
    {
        var target = FileNames.ToBytes($".removing-{RandomId.Next()}");
        fixed (byte* text = target)
        {
            if (Libc.RenameAt2(directory, name, (int)_top!.DangerousGetHandle(), text, Libc.RENAME_NOREPLACE) != 0)
            {
                throw LinuxException.Last($"Cannot remove a directory in {_shown}");
            }
        }
    }

    /// <summary>A second descriptor with a position of its own, so that a directory can be listed again.</summary>
    private static SafeFileHandle Reopen(SafeFileHandle directory)
    {
        fixed (byte* dot = ".\0"u8)
        {
            var fd = Libc.OpenAt((int)directory.DangerousGetHandle(), dot, Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_CLOEXEC, 0);
            return fd >= 0 ? new SafeFileHandle(fd, ownsHandle: true) : throw LinuxException.Last("Cannot read a directory");
        }
    }
}
