namespace DoSandbox.Docs;

/// <summary>A heading with what stands below it, up to the next heading of its own or a higher level.</summary>
internal sealed record MarkdownSection(int Level, string Title, IReadOnlyList<string> Lines, IReadOnlyList<MarkdownSection> Children)
{
    /// <summary>The sections of a page; headings inside code fences are none.</summary>
    public static IReadOnlyList<MarkdownSection> Parse(IEnumerable<string> lines)
    {
        var root = new Builder(0, "");
        var open = new Stack<Builder>([root]);
        var inFence = false;
        foreach (var line in lines)
        {
            inFence ^= line.StartsWith("```", StringComparison.Ordinal);
            var level = inFence ? 0 : line.TakeWhile(c => c == '#').Count();
            if (level is > 0 and <= 6 && line.Length > level && line[level] == ' ')
            {
                while (open.Peek().Level >= level)
                {
                    open.Pop();
                }

                var section = new Builder(level, line[level..].Trim());
                open.Peek().Children.Add(section);
                open.Push(section);
            }
            else
            {
                open.Peek().Lines.Add(line);
            }
        }

        return root.Build().Children;
    }

    /// <summary>The text and the code fences below the heading, in order.</summary>
    public IEnumerable<(bool IsCode, string Info, string Text)> Blocks()
    {
        var block = new List<string>();
        string? fence = null;
        foreach (var line in Lines)
        {
            if (line.StartsWith("```", StringComparison.Ordinal))
            {
                if (fence is not null)
                {
                    yield return (true, fence, string.Join('\n', block));
                    fence = null;
                }
                else
                {
                    if (Text(block) is { Length: > 0 } text)
                    {
                        yield return (false, "", text);
                    }

                    fence = line[3..].Trim();
                }

                block.Clear();
            }
            else
            {
                block.Add(line);
            }
        }

        if (Text(block) is { Length: > 0 } rest)
        {
            yield return (false, "", rest);
        }
    }

    /// <summary>The paragraphs below the heading, without marks; a list item is a paragraph of its own.</summary>
    public IReadOnlyList<string> Paragraphs() => [.. Blocks().SelectMany(block => block.IsCode ? [block.Text] : ParagraphsOf(block.Text))];

    public static IEnumerable<string> ParagraphsOf(string text)
    {
        var paragraph = new List<string>();
        foreach (var line in text.Split('\n').Append(""))
        {
            var starts = line.StartsWith("- ", StringComparison.Ordinal);
            if ((line.Trim().Length == 0 || starts) && paragraph.Count > 0)
            {
                yield return Plain(string.Join(' ', paragraph));
                paragraph.Clear();
            }

            if (line.Trim().Length > 0)
            {
                paragraph.Add(line.Trim());
            }
        }
    }

    /// <summary>Text without marks of emphasis, code and links.</summary>
    public static string Plain(string text)
    {
        text = text.Replace("**", "", StringComparison.Ordinal).Replace("`", "", StringComparison.Ordinal);
        for (var start = text.IndexOf("](", StringComparison.Ordinal); start >= 0; start = text.IndexOf("](", start, StringComparison.Ordinal))
        {
            var open = text.LastIndexOf('[', start);
            var close = text.IndexOf(')', start);
            if (open < 0 || close < 0)
            {
                break;
            }

            text = text[..open] + text[(open + 1)..start] + text[(close + 1)..];
            start = open;
        }

        return text;
    }

    private static string Text(List<string> lines) => string.Join('\n', lines).Trim('\n', ' ');

    private sealed class Builder(int level, string title)
    {
        public int Level { get; } = level;
        public List<string> Lines { get; } = [];
        public List<Builder> Children { get; } = [];

        public MarkdownSection Build() => new(Level, title, Lines, [.. Children.Select(child => child.Build())]);
    }
}
