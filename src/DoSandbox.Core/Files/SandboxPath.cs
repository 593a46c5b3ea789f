using System.Text;
using DoSandbox.Errors;

namespace DoSandbox.Files;

/// <summary>Paths in a sandbox: absolute, with /, whatever the host's own paths look like. Any character but NUL may stand in a name.</summary>
public static class SandboxPath
{
    /// <summary>Most bytes of a name, as UTF-8.</summary>
    public const int MaxName = 255;

    /// <summary>Most bytes of a path, as UTF-8.</summary>
    public const int MaxPath = 4095;

    /// <summary>The path without empty, "." and ".." parts and without a / at its end. Links are not looked at: ".." takes the name before it away.</summary>
    /// <exception cref="SandboxException">InvalidArgument: it is empty, relative, too long or holds a NUL.</exception>
    public static string Normalize(string path)
    {
        if (string.IsNullOrEmpty(path))
        {
            throw Refuse("The path in the sandbox is empty.");
        }

        if (path[0] != '/')
        {
            throw Refuse($"The path '{SafeText.Clean(path, 200)}' is not absolute.");
        }

        if (path.Contains('\0', StringComparison.Ordinal))
        {
            throw Refuse($"The path '{SafeText.Clean(path, 200)}' holds a NUL character.");
        }

        if (Encoding.UTF8.GetByteCount(path) > MaxPath)
        {
            throw Refuse($"The path '{SafeText.Clean(path, 200)}' is longer than {MaxPath} bytes.");
        }

        var parts = new List<string>();
        foreach (var part in path.Split('/'))
        {
            switch (part)
            {
                case "" or ".":
                    break;
                case "..":
                    if (parts.Count > 0)
                    {
                        parts.RemoveAt(parts.Count - 1);
                    }

                    break;
                default:
                    if (Encoding.UTF8.GetByteCount(part) > MaxName)
                    {
                        throw Refuse($"The name '{SafeText.Clean(part, 200)}' is longer than {MaxName} bytes.");
                    }

                    parts.Add(part);
                    break;
            }
        }

        return "/" + string.Join('/', parts);
    }

    /// <summary>A name below a directory.</summary>
    public static string Combine(string directory, string name) => directory.EndsWith('/') ? directory + name : $"{directory}/{name}";

    /// <summary>The last part of a path; "/" for the root.</summary>
    public static string NameOf(string path)
    {
        var normal = Normalize(path);
        return normal.Length > 1 ? normal[(normal.LastIndexOf('/') + 1)..] : normal;
    }

    /// <summary>The directory that holds it; "/" for the root itself.</summary>
    public static string ParentOf(string path)
    {
        var normal = Normalize(path);
        return normal.LastIndexOf('/') is > 0 and var slash ? normal[..slash] : "/";
    }

    /// <summary>True when the path says that it names a directory: it ends with / or with a part "." or "..".</summary>
    public static bool NamesDirectory(string path) =>
        path.EndsWith('/') || path.EndsWith("/.", StringComparison.Ordinal) || path.EndsWith("/..", StringComparison.Ordinal);

    private static SandboxException Refuse(string message) =>
        new(SandboxErrorCode.InvalidArgument, message, "Use an absolute path such as /app/main.py.");
}
