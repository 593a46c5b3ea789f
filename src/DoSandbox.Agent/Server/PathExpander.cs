using System.Text;
using DoSandbox.Agent.Native;
using DoSandbox.Wire.Run;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary>Replaces <c>~</c>, <c>$NAME</c> and <c>${NAME}</c> in paths, as execd does.</summary>
internal sealed class PathExpander(EnvironmentBlock environment)
{
    /// <summary>Longest path the kernel takes, in bytes.</summary>
    public const int MaxPath = 4095;

    /// <summary>As <see cref="Expand(string, IReadOnlyDictionary{string, string}?)"/>; nothing is replaced for a client that asks for exact paths.</summary>
    public string Expand(HttpContext context, string path) =>
        context.Request.Headers.ContainsKey(AgentExtensions.ExactPathsHeader) ? Check(path) : Expand(path);

    /// <summary>The path as it is, made absolute against the agent's working directory.</summary>
    /// <exception cref="RequestException">400: empty, a NUL in it, or too long.</exception>
    public static string Check(string path)
    {
        if (path.Length == 0)
        {
            throw RequestException.Invalid("A path is empty.");
        }

        if (path.Contains('\0'))
        {
            throw RequestException.Invalid("A path holds a NUL character.");
        }

        // A slash at the end would make the kernel follow a link.
        return Encoding.UTF8.GetByteCount(path) > MaxPath
            ? throw RequestException.Invalid($"A path is longer than {MaxPath} bytes.")
            : Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
    }

    /// <summary>The path with its variables replaced, made absolute against the agent's working directory. Links are not resolved.</summary>
    /// <exception cref="RequestException">400: empty, a NUL in it, or too long; 500: a variable is not defined.</exception>
    public string Expand(string path, IReadOnlyDictionary<string, string>? variables = null)
    {
        if (path == "~" || path.StartsWith("~/", StringComparison.Ordinal))
        {
            path = Value("HOME", variables) + path[1..];
        }

        if (path.Contains('$'))
        {
            path = ReplaceVariables(path, variables);
        }

        return Check(path);
    }

    private string ReplaceVariables(string path, IReadOnlyDictionary<string, string>? variables)
    {
        var result = new StringBuilder();
        for (var i = 0; i < path.Length; i++)
        {
            if (path[i] != '$')
            {
                result.Append(path[i]);
                continue;
            }

            var braces = i + 1 < path.Length && path[i + 1] == '{';
            var start = i + (braces ? 2 : 1);
            var end = start;
            while (end < path.Length && (char.IsAsciiLetterOrDigit(path[end]) || path[end] == '_'))
            {
                end++;
            }

            if (end == start || char.IsAsciiDigit(path[start]) || (braces && (end == path.Length || path[end] != '}')))
            {
                // No name follows: the character stands for itself.
                result.Append('$');
                continue;
            }

            result.Append(Value(path[start..end], variables));
            i = braces ? end : end - 1;
        }

        return result.ToString();
    }

    private string Value(string name, IReadOnlyDictionary<string, string>? variables) =>
        variables?.GetValueOrDefault(name) ?? environment.Get(name)
        ?? throw RequestException.Failed($"The variable {name} in the path is not defined.");
}
