using System.Text;

namespace DoSandbox.Agent.Files;

/// <summary>Shell patterns on a single name: <c>*</c>, <c>**</c>, <c>?</c>, <c>[a-z]</c>, <c>[!a]</c>, <c>{a,b}</c>, <c>\</c>.</summary>
internal sealed class Glob
{
    private const int MaxPattern = 4096;
    private const int MaxAlternatives = 256;

    private readonly List<Rune[]> _alternatives = [];

    /// <param name="pattern">The pattern.</param>
    /// <exception cref="ArgumentException">It is malformed, or too long.</exception>
    public Glob(string pattern)
    {
        if (pattern.Length > MaxPattern)
        {
            throw new ArgumentException($"The pattern is longer than {MaxPattern} characters.");
        }

        Expand("", [.. pattern.EnumerateRunes()]);
    }

    /// <summary>True when the pattern takes the whole name.</summary>
    public bool IsMatch(string name)
    {
        Rune[] text = [.. name.EnumerateRunes()];
        return _alternatives.Exists(pattern => IsMatch(pattern, text));
    }

    /// <summary>Takes the first braces apart, again and again, until each alternative is free of them.</summary>
    private void Expand(string done, ReadOnlySpan<Rune> rest)
    {
        for (var i = 0; i < rest.Length; i++)
        {
            switch (rest[i].Value)
            {
                case '\\':
                    i++;
                    continue;
                case '[':
                    i = EndOfSet(rest, i);
                    continue;
                case '{':
                    ExpandBraces(done + Text(rest[..i]), rest[(i + 1)..]);
                    return;
            }
        }

        if (_alternatives.Count == MaxAlternatives)
        {
            throw new ArgumentException($"The pattern has more than {MaxAlternatives} alternatives.");
        }

        _alternatives.Add([.. (done + Text(rest)).EnumerateRunes()]);
    }

    private void ExpandBraces(string before, ReadOnlySpan<Rune> rest)
    {
        var depth = 1;
        var starts = new List<int> { 0 };
        var end = -1;
        for (var i = 0; i < rest.Length && end < 0; i++)
        {
            switch (rest[i].Value)
            {
                case '\\':
                    i++;
                    break;
                case '{':
                    depth++;
                    break;
                case ',' when depth == 1:
                    starts.Add(i + 1);
                    break;
                case '}' when --depth == 0:
                    end = i;
                    break;
            }
        }

        if (end < 0)
        {
            throw new ArgumentException("The pattern has a brace that is not closed.");
        }

        for (var n = 0; n < starts.Count; n++)
        {
            var last = n + 1 < starts.Count ? starts[n + 1] - 1 : end;
            Expand("", [.. (before + Text(rest[starts[n]..last]) + Text(rest[(end + 1)..])).EnumerateRunes()]);
        }
    }

    private static bool IsMatch(ReadOnlySpan<Rune> pattern, ReadOnlySpan<Rune> text)
    {
        int p = 0, t = 0, star = -1, retry = 0;
        while (t < text.Length)
        {
            if (p < pattern.Length && pattern[p].Value == '*')
            {
                star = p++;
                retry = t;
            }
            else if (p < pattern.Length && Takes(pattern, p, text[t], out var next))
            {
                p = next;
                t++;
            }
            else if (star >= 0)
            {
                // Only the last star needs to give way: that keeps this at pattern times text.
                p = star + 1;
                t = ++retry;
            }
            else
            {
                return false;
            }
        }

        while (p < pattern.Length && pattern[p].Value == '*')
        {
            p++;
        }

        return p == pattern.Length;
    }

    private static bool Takes(ReadOnlySpan<Rune> pattern, int at, Rune character, out int next)
    {
        next = at + 1;
        switch (pattern[at].Value)
        {
            case '?':
                return true;
            case '\\' when at + 1 < pattern.Length:
                next = at + 2;
                return pattern[at + 1] == character;
            case '[':
                var end = EndOfSet(pattern, at);
                next = end + 1;
                var set = pattern[(at + 1)..end];
                var negated = set[0].Value is '!' or '^';
                return IsIn(negated ? set[1..] : set, character) != negated;
            default:
                return pattern[at] == character;
        }
    }

    private static bool IsIn(ReadOnlySpan<Rune> set, Rune character)
    {
        for (var i = 0; i < set.Length; i++)
        {
            if (i + 2 < set.Length && set[i + 1].Value == '-')
            {
                if (character >= set[i] && character <= set[i + 2])
                {
                    return true;
                }

                i += 2;
            }
            else if (set[i] == character)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The index of the bracket that closes a set; one right at its beginning belongs to the set.</summary>
    private static int EndOfSet(ReadOnlySpan<Rune> pattern, int start)
    {
        var first = start + 1 < pattern.Length && pattern[start + 1].Value is '!' or '^' ? start + 2 : start + 1;
        for (var i = first + 1; i < pattern.Length; i++)
        {
            if (pattern[i].Value == ']')
            {
                return i;
            }
        }

        throw new ArgumentException("The pattern has a bracket that is not closed.");
    }

    private static string Text(ReadOnlySpan<Rune> runes)
    {
        var result = new StringBuilder(runes.Length);
        foreach (var rune in runes)
        {
            result.Append(rune.ToString());
        }

        return result.ToString();
    }
}
