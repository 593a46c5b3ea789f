using DoSandbox.Agent.Native;

namespace DoSandbox.Agent.Files;

/// <summary>
/// Walks a directory in byte order, a directory before its content. Links are told, never followed. What vanishes
/// meanwhile is left out; a directory below the first that may not be read is told without its content.
/// </summary>
internal static class TreeWalker
{
    /// <summary>Everything below a directory, down to <paramref name="depth"/> levels.</summary>
    /// <exception cref="LinuxException">The first directory cannot be read.</exception>
    public static IEnumerable<(byte[] Path, Libc.Statx Info)> Walk(byte[] root, int depth)
    {
        if (depth <= 0)
        {
            yield break;
        }

        var stack = new Stack<Level>();
        stack.Push(new Level(root, DirectoryReader.Read(root)));
        while (stack.TryPeek(out var level))
        {
            if (level.Next == level.Names.Count)
            {
                stack.Pop();
                continue;
            }

            var path = FileNames.Join(level.Path, level.Names[level.Next++]);
            if (Look(path) is not { } info)
            {
                continue;
            }

            yield return (path, info);
            if (FileSystem.IsType(info, Libc.S_IFDIR) && stack.Count < depth && Enter(path) is { } below)
            {
                stack.Push(below);
            }
        }
    }

    private static Libc.Statx? Look(byte[] path)
    {
        try
        {
            return FileSystem.TryStat(path, follow: false);
        }
        catch (LinuxException)
        {
            return null;
        }
    }

    private static Level? Enter(byte[] path)
    {
        try
        {
            return new Level(path, DirectoryReader.Read(path));
        }
        catch (LinuxException)
        {
            return null;
        }
    }

    private sealed class Level(byte[] path, DirectoryReader names)
    {
        public byte[] Path { get; } = path;

        public DirectoryReader Names { get; } = names;

        public int Next { get; set; }
    }
}
