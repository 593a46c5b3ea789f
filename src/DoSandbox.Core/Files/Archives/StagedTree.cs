using System.Text;
using DoSandbox.Errors;

namespace DoSandbox.Files.Archives;

/// <summary>
/// A tree that comes out of a sandbox, built in a folder of its own and moved to its place when it is whole. Whoever names the entries is
/// not trusted: nothing is written outside the folder, whatever they are called and wherever they link to.
/// </summary>
/// <remarks>
/// The folder is new and readable only by the user, so no link can be in it but those of the tree itself, and those are made last, when
/// nothing more is written. A link is made only when all links of the tree together cannot lead it out.
/// </remarks>
internal sealed class StagedTree : IDisposable
{
    private const int MaxEntries = 10_000_000;
    private const int MaxLinks = 1_000_000;
    private const int MaxLinkSteps = 40;

    // Where the system holds two names for the same, so do we: a link must not hide behind its spelling.
    private static readonly StringComparer Names = OperatingSystem.IsWindows() || OperatingSystem.IsMacOS() ? StringComparer.OrdinalIgnoreCase : StringComparer.Ordinal;

    private readonly string _destination;
    private readonly string _staging;
    private readonly TransferOptions _options;
    private readonly Dictionary<string, string> _links = new(Names);
    private readonly Dictionary<string, UnixFileMode> _directories = new(Names);
    private readonly HashSet<string> _files = new(Names);
    private readonly HashSet<string> _skipped = new(Names);
    private readonly List<string> _order = [];
    private bool _placed;

    /// <summary>A tree on its way to <paramref name="destination"/>, whose parent exists.</summary>
    public StagedTree(string destination, TransferOptions options)
    {
        _destination = Path.GetFullPath(destination);
        _options = options;
        _staging = LocalFiles.TemporaryBeside(_destination);
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(_staging);
        }
        else
        {
            Directory.CreateDirectory(_staging, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }

    /// <summary>Cuts an entry's name into its parts; empty for the root itself.</summary>
    /// <exception cref="SandboxException">UnsafeArchive: the name leads outside or cannot be a name here.</exception>
    public static string[] PartsOf(string name)
    {
        if (name.StartsWith('/') || name.Contains('\0', StringComparison.Ordinal))
        {
            throw Unsafe(name, "it is absolute or holds a NUL");
        }

        if (Encoding.UTF8.GetByteCount(name) > SandboxPath.MaxPath)
        {
            throw Unsafe(name, "it is too long");
        }

        var parts = Array.FindAll(name.Split('/'), static part => part is not ("" or "."));
        foreach (var part in parts)
        {
            if (LocalFiles.WhyNoName(part) is { } why)
            {
                throw Unsafe(name, why);
            }
        }

        return parts;
    }

    /// <summary>A directory; its permissions are set at the very end. One that is there already is fine.</summary>
    public void AddDirectory(string name, UnixFileMode mode)
    {
        var parts = PartsOf(name);
        MakeDirectories(parts, parts.Length);
        // One that its owner cannot enter could not be removed either.
        _directories[string.Join('/', parts)] = (mode & LocalFiles.PermissionBits)
            | UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
    }

    /// <summary>Opens a new file.</summary>
    /// <exception cref="SandboxException">UnsafeArchive: something has that name already.</exception>
    public FileStream AddFile(string name, UnixFileMode mode)
    {
        var (relative, path) = Place(name);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None, BufferSize = 0 };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        FileStream file;
        try
        {
            file = new FileStream(path, options);
        }
        catch (IOException) when (LocalFiles.Exists(path))
        {
            throw Unsafe(name, "two entries have this name on this machine");
        }

        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(file.SafeFileHandle, mode & LocalFiles.PermissionBits);
        }

        _files.Add(relative);
        Remember(relative);
        return file;
    }

    /// <summary>A second name of a file that was added before.</summary>
    public void AddHardLink(string name, string target)
    {
        var source = string.Join('/', PartsOf(target));
        if (!_files.Contains(source))
        {
            throw Unsafe(name, "it is a link to a file that is not in the archive before it");
        }

        var (relative, path) = Place(name);
        if (LocalFiles.Exists(path))
        {
            throw Unsafe(name, "two entries have this name on this machine");
        }

        LocalFiles.LinkOrCopy(Path.Combine(_staging, source), path);
        _files.Add(relative);
        Remember(relative);
    }

    /// <summary>A symbolic link; it is made at the end, if it stays inside.</summary>
    public void AddLink(string name, string target)
    {
        var (relative, path) = Place(name);
        if (LocalFiles.Exists(path) || _links.Count >= MaxLinks || !_links.TryAdd(relative, target))
        {
            throw Unsafe(name, "two entries have this name on this machine, or there are too many links");
        }

        Remember(relative);
    }

    /// <summary>Moves the whole to its place; files that are there already are replaced, one by one and each at once.</summary>
    /// <returns>The full paths of files and links, in the order in which they came.</returns>
    /// <exception cref="SandboxException">FileExists, UnsafeArchive.</exception>
    public IReadOnlyList<string> MoveIntoPlace()
    {
        MakeLinks();
        _order.RemoveAll(_skipped.Contains);
        if (!LocalFiles.Exists(_destination))
        {
            _directories.TryAdd("", (UnixFileMode)0x1ed);
            Directory.Move(_staging, _destination);
        }
        else if (_options.Force && Directory.Exists(_destination))
        {
            Merge();
            Directory.Delete(_staging, recursive: true);
        }
        else
        {
            throw new SandboxException(SandboxErrorCode.FileExists, $"{SafeText.Clean(_destination, 300)} exists on this machine.");
        }

        _placed = true;
        SetDirectoryModes();
        return _order.ConvertAll(relative => Path.Combine(_destination, relative));
    }

    /// <summary>Removes what was not moved to its place.</summary>
    public void Dispose()
    {
        if (!_placed && Directory.Exists(_staging))
        {
            Directory.Delete(_staging, recursive: true);
        }
    }

    private static SandboxException Unsafe(string name, string why) =>
        new(SandboxErrorCode.UnsafeArchive, $"The sandbox sent an entry '{SafeText.Clean(name, 300)}' that is refused: {why}.");

    private void Remember(string relative)
    {
        if (_order.Count >= MaxEntries)
        {
            throw new SandboxException(SandboxErrorCode.LimitExceeded, $"The directory holds more than {MaxEntries} files.", "Fetch its parts one by one, or pack it into one file first.");
        }

        _order.Add(relative);
    }

    private (string Relative, string Path) Place(string name)
    {
        var parts = PartsOf(name);
        if (parts.Length == 0)
        {
            throw Unsafe(name, "it names the root and is no directory");
        }

        MakeDirectories(parts, parts.Length - 1);
        var relative = string.Join('/', parts);
        return _links.ContainsKey(relative) ? throw Unsafe(name, "two entries have this name") : (relative, Path.Combine(_staging, relative));
    }

    private void MakeDirectories(string[] parts, int count)
    {
        var relative = "";
        for (var i = 0; i < count; i++)
        {
            relative = i == 0 ? parts[0] : $"{relative}/{parts[i]}";
            if (_directories.ContainsKey(relative))
            {
                continue;
            }

            var path = Path.Combine(_staging, relative);
            if (_links.ContainsKey(relative) || LocalFiles.Exists(path))
            {
                throw Unsafe(string.Join('/', parts), "a part of its path is no directory");
            }

            Directory.CreateDirectory(path);
            _directories[relative] = (UnixFileMode)0x1ed;
        }
    }

    private void MakeLinks()
    {
        var made = new List<(string Relative, string Target)>();
        foreach (var (relative, target) in _links)
        {
            if (target.Length > 0 && !target.Contains('\0', StringComparison.Ordinal) && StaysInside(relative, target))
            {
                made.Add((relative, target));
            }
            else
            {
                Skip(relative, $"it leads outside the destination, to '{SafeText.Clean(target, 200)}'");
            }
        }

        foreach (var (relative, target) in made)
        {
            try
            {
                File.CreateSymbolicLink(Path.Combine(_staging, relative), target);
            }
            catch (Exception fault) when (OperatingSystem.IsWindows() && fault is IOException or UnauthorizedAccessException)
            {
                Skip(relative, "this user may not make links");
            }
        }
    }

    private void Skip(string relative, string why)
    {
        _skipped.Add(relative);
        _options.Warning?.Invoke($"The link '{SafeText.Clean(relative, 300)}' was left out: {why}.");
    }

    // Follows the target through the tree's own links, part by part, as the system would: "d/e/link/.." may leave although its text does not.
    private bool StaysInside(string relative, string target)
    {
        var steps = 0;
        var at = new List<string>(relative.Split('/')[..^1]);
        var ahead = new Stack<string>();
        if (!Push(target))
        {
            return false;
        }

        while (ahead.TryPop(out var part))
        {
            if (part == "..")
            {
                if (at.Count == 0)
                {
                    return false;
                }

                at.RemoveAt(at.Count - 1);
                continue;
            }

            at.Add(part);
            var here = string.Join('/', at);
            if (_links.TryGetValue(here, out var next))
            {
                at.RemoveAt(at.Count - 1);
                if (++steps > MaxLinkSteps || !Push(next))
                {
                    return false;
                }
            }
            else if (LocalFiles.IsLink(Path.Combine(_destination, here)))
            {
                // A link of this machine, from before.
                return false;
            }
        }

        return true;

        bool Push(string path)
        {
            if (path.StartsWith('/') || (OperatingSystem.IsWindows() && path.AsSpan().ContainsAny('\\', ':')))
            {
                return false;
            }

            var parts = path.Split('/');
            for (var i = parts.Length - 1; i >= 0; i--)
            {
                if (parts[i] is not ("" or "."))
                {
                    ahead.Push(parts[i]);
                }
            }

            return ahead.Count <= SandboxPath.MaxPath;
        }
    }

    private void Merge()
    {
        // Everything is looked at before anything is moved.
        foreach (var relative in _directories.Keys)
        {
            var path = Path.Combine(_destination, relative);
            if (relative.Length > 0 && LocalFiles.Exists(path) && (LocalFiles.IsLink(path) || !Directory.Exists(path)))
            {
                throw new SandboxException(SandboxErrorCode.NotADirectory, $"{SafeText.Clean(path, 300)} on this machine is no directory but has the name of one in the sandbox.",
                    "Move it away, or choose another destination.");
            }
        }

        foreach (var relative in _order)
        {
            var path = Path.Combine(_destination, relative);
            if (Directory.Exists(path) && !LocalFiles.IsLink(path))
            {
                throw new SandboxException(SandboxErrorCode.IsADirectory, $"{SafeText.Clean(path, 300)} on this machine is a directory but has the name of a file in the sandbox.",
                    "Move it away, or choose another destination.");
            }
        }

        foreach (var relative in _directories.Keys.Order(StringComparer.Ordinal).ToArray())
        {
            var path = Path.Combine(_destination, relative);
            if (Directory.Exists(path))
            {
                // It keeps the mode that the user gave it.
                _directories.Remove(relative);
            }
            else if (OperatingSystem.IsWindows())
            {
                Directory.CreateDirectory(path);
            }
            else
            {
                Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            }
        }

        foreach (var relative in _order)
        {
            var path = Path.Combine(_destination, relative);
            if (LocalFiles.IsLink(path) && Directory.Exists(path))
            {
                // Moving onto a link to a directory would be refused: the link goes, not what it leads to.
                File.Delete(path);
            }

            File.Move(Path.Combine(_staging, relative), path, overwrite: true);
        }
    }

    private void SetDirectoryModes()
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        foreach (var (relative, mode) in _directories)
        {
            File.SetUnixFileMode(Path.Combine(_destination, relative), mode);
        }
    }
}
