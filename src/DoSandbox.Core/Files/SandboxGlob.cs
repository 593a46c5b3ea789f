using System.Runtime.CompilerServices;
using DoSandbox.Connections;
using DoSandbox.Errors;

namespace DoSandbox.Files;

/// <summary>
/// Wildcards in paths of a sandbox: *, ?, [a-z] and [!a-z] within a name, a backtick in front of one that is meant itself. A name that
/// begins with a full stop is found only by a pattern that does. Directories are listed level by level; no shell sees the pattern.
/// </summary>
public static class SandboxGlob
{
    /// <summary>True when the path holds a wildcard.</summary>
    public static bool HasWildcards(string path)
    {
        for (var i = 0; i < path.Length; i++)
        {
            if (path[i] == '`')
            {
                i++;
            }
            else if (path[i] is '*' or '?' or '[')
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The path as a pattern that finds just it.</summary>
    public static string Escape(string path) => string.Concat(path.Select(static letter => letter is '*' or '?' or '[' or ']' or '`' ? $"`{letter}" : letter.ToString()));

    /// <summary>The paths that a pattern finds, sorted; none when it finds nothing.</summary>
    /// <exception cref="SandboxException">InvalidArgument: the pattern is not absolute. Network and the like.</exception>
    public static async IAsyncEnumerable<string> ExpandAsync(ISandboxConnection connection, string pattern, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var parts = SandboxPath.Normalize(pattern).Split('/', StringSplitOptions.RemoveEmptyEntries);
        var found = new List<string> { "/" };
        var exact = true;
        foreach (var part in parts)
        {
            if (!HasWildcards(part))
            {
                var name = Unescape(part);
                found = found.ConvertAll(directory => SandboxPath.Combine(directory, name));
                exact = false;
                continue;
            }

            var next = new List<string>();
            foreach (var directory in found)
            {
                next.AddRange(await MatchAsync(connection, directory, part, cancellationToken).ConfigureAwait(false));
            }

            found = next;
            exact = true;
        }

        foreach (var path in found)
        {
            if (exact || await connection.Files.GetAsync(path, cancellationToken).ConfigureAwait(false) is not null)
            {
                yield return path;
            }
        }
    }

    /// <summary>True when the pattern, which names one level, finds the name.</summary>
    public static bool IsMatch(string pattern, string name)
    {
        if (name.StartsWith('.') && !pattern.StartsWith('.') && !pattern.StartsWith("`.", StringComparison.Ordinal))
        {
            return false;
        }

        // The usual way: remember the last star, and let it take one letter more whenever what follows does not fit.
        var (p, n, star, starName) = (0, 0, -1, 0);
        while (n < name.Length)
        {
            if (p < pattern.Length && pattern[p] == '*')
            {
                (star, starName) = (p++, n);
            }
            else if (p < pattern.Length && MatchOne(pattern, p, name[n]) is > 0 and var length)
            {
                p += length;
                n++;
            }
            else if (star >= 0)
            {
                (p, n) = (star + 1, ++starName);
            }
            else
            {
                return false;
            }
        }

        while (p < pattern.Length && pattern[p] == '*')
        {
            p++;
        }

        return p == pattern.Length;
    }

    private static async Task<List<string>> MatchAsync(ISandboxConnection connection, string directory, string pattern, CancellationToken cancellationToken)
    {
        var matches = new List<string>();
        try
        {
            await foreach (var file in connection.Files.ListAsync(directory, 1, cancellationToken).ConfigureAwait(false))
            {
                if (IsMatch(pattern, file.Name))
                {
                    matches.Add(SandboxPath.Combine(directory, file.Name));
                }
            }
        }
        catch (SandboxException none) when (none.Code is SandboxErrorCode.FileNotFound or SandboxErrorCode.NotADirectory or SandboxErrorCode.PermissionDenied)
        {
            return [];
        }

        matches.Sort(StringComparer.Ordinal);
        return matches;
    }

    // How many letters of the pattern match the one letter; 0 when they do not.
    private static int MatchOne(string pattern, int at, char letter)
    {
        switch (pattern[at])
        {
            case '?':
                return 1;
            case '`' when at + 1 < pattern.Length:
                return pattern[at + 1] == letter ? 2 : 0;
            case '[' when SetEnd(pattern, at) is > 0 and var end:
                var first = at + 1;
                var negated = pattern[first] is '!' or '^';
                first += negated ? 1 : 0;
                var inside = false;
                for (var i = first; i < end; i++)
                {
                    if (i + 2 < end && pattern[i + 1] == '-')
                    {
                        inside |= letter >= pattern[i] && letter <= pattern[i + 2];
                        i += 2;
                    }
                    else
                    {
                        inside |= pattern[i] == letter;
                    }
                }

                return inside != negated ? end - at + 1 : 0;
            default:
                return pattern[at] == letter ? 1 : 0;
        }
    }

    // A ] that comes first belongs to the set; without an end the [ is a letter as any other.
    private static int SetEnd(string pattern, int at)
    {
        var first = at + 1;
        first += first < pattern.Length && pattern[first] is '!' or '^' ? 1 : 0;
        return first + 1 < pattern.Length ? pattern.IndexOf(']', first + 1) : -1;
    }

    private static string Unescape(string part)
    {
        if (!part.Contains('`', StringComparison.Ordinal))
        {
            return part;
        }

        var letters = new List<char>(part.Length);
        for (var i = 0; i < part.Length; i++)
        {
            letters.Add(part[i] == '`' && i + 1 < part.Length ? part[++i] : part[i]);
        }

        return new string(letters.ToArray());
    }
}
