using DoSandbox.Files;

namespace DoSandbox.Connections;

/// <summary>Single files and directories of a sandbox, by absolute path. Whole trees go as archives.</summary>
public interface ISandboxFileSystem
{
    /// <summary>What is at a path, links not followed; null when nothing is.</summary>
    Task<SandboxFile?> GetAsync(string path, CancellationToken cancellationToken);

    /// <summary>What is in a directory, parents before children, down to <paramref name="depth"/> levels (1: its own entries only).</summary>
    /// <exception cref="Errors.SandboxException">FileNotFound, NotADirectory.</exception>
    IAsyncEnumerable<SandboxFile> ListAsync(string path, int depth, CancellationToken cancellationToken);

    /// <summary>Opens a file to read from its start. The caller disposes the stream; a stream cut short throws, it never just ends.</summary>
    /// <exception cref="Errors.SandboxException">FileNotFound, IsADirectory, PermissionDenied.</exception>
    Task<Stream> OpenReadAsync(string path, CancellationToken cancellationToken);

    /// <summary>
    /// Writes a file from <paramref name="content"/> to its end. Atomic: until all of it is there, the path holds what it held before.
    /// Missing parents are made.
    /// </summary>
    /// <param name="path">The absolute path.</param>
    /// <param name="content">What to write, read to its end.</param>
    /// <param name="mode">Permission bits; those of the replaced file, else the sandbox's default, when null.</param>
    /// <param name="cancellationToken">Ends the transfer; nothing is left of it.</param>
    /// <exception cref="Errors.SandboxException">IsADirectory, NotADirectory, PermissionDenied, DiskFull.</exception>
    Task WriteAsync(string path, Stream content, UnixFileMode? mode, CancellationToken cancellationToken);

    /// <summary>Makes a directory and its missing parents; nothing happens when it exists.</summary>
    Task CreateDirectoryAsync(string path, UnixFileMode? mode, CancellationToken cancellationToken);

    /// <summary>Removes a file, a link, or a directory with all it holds; nothing happens when it is not there.</summary>
    Task DeleteAsync(string path, CancellationToken cancellationToken);

    /// <summary>Renames. Fails when the destination exists.</summary>
    Task MoveAsync(string source, string destination, CancellationToken cancellationToken);

    /// <summary>Sets permission bits.</summary>
    Task SetModeAsync(string path, UnixFileMode mode, CancellationToken cancellationToken);
}
