namespace DoSandbox.Docs;

internal sealed record ExamplePage(string Title, string Code, IReadOnlyList<string> Remarks);

internal sealed record ParameterPage(string Name, IReadOnlyList<string> Description, IReadOnlyDictionary<string, string> Facts)
{
    public string Type => Fact("Type");
    public IReadOnlyList<string> Sets => [.. Fact("Parameter Sets").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)];
    public string Aliases => Fact("Aliases");
    public bool Required => string.Equals(Fact("Required"), "True", StringComparison.OrdinalIgnoreCase);
    public string Position => Fact("Position");
    public string Default => Fact("Default value");
    public string PipelineInput => Fact("Accept pipeline input");
    public bool Wildcards => string.Equals(Fact("Accept wildcard characters"), "True", StringComparison.OrdinalIgnoreCase);

    public bool IsIn(string set) => Sets is ["(All)"] || Sets.Contains(set, StringComparer.Ordinal);

    private string Fact(string name) => Facts.TryGetValue(name, out var value) ? value : throw new PageException($"-{Name} has no line '{name}:'.");
}

/// <summary>The page of one cmdlet.</summary>
internal sealed record CmdletPage(string Name, IReadOnlyList<string> Synopsis, IReadOnlyList<string> Description, IReadOnlyList<string> Sets,
    IReadOnlyList<ParameterPage> Parameters, IReadOnlyList<ExamplePage> Examples, IReadOnlyList<(string Type, IReadOnlyList<string> Text)> Inputs,
    IReadOnlyList<(string Type, IReadOnlyList<string> Text)> Outputs, IReadOnlyList<string> Notes, IReadOnlyList<string> Links)
{
    /// <exception cref="PageException">The page lacks a section.</exception>
    public static CmdletPage Parse(string file)
    {
        var lines = File.ReadAllLines(file).ToList();
        if (lines is ["---", ..])
        {
            lines.RemoveRange(0, lines.IndexOf("---", 1) + 1);
        }

        if (MarkdownSection.Parse(lines) is not [var page])
        {
            throw new PageException($"{file} has not exactly one heading of the first level.");
        }

        try
        {
            var syntax = Section("SYNTAX");
            return new CmdletPage(page.Title, Section("SYNOPSIS").Paragraphs(), Section("DESCRIPTION").Paragraphs(),
                [.. syntax.Children.Select(child => child.Title.Replace("(Default)", "", StringComparison.Ordinal).Trim())],
                [.. Section("PARAMETERS").Children.Where(child => child.Title.StartsWith('-')).Select(Parameter)],
                [.. Section("EXAMPLES").Children.Select(Example)],
                Types("INPUTS"), Types("OUTPUTS"),
                Optional("NOTES")?.Paragraphs() ?? [],
                [.. (Optional("RELATED LINKS")?.Paragraphs() ?? []).Select(link => link.TrimStart('-', ' '))]);
        }
        catch (PageException exception)
        {
            throw new PageException($"{file}: {exception.Message}");
        }

        MarkdownSection Section(string title) => Optional(title) ?? throw new PageException($"there is no section '## {title}'.");
        MarkdownSection? Optional(string title) => page.Children.FirstOrDefault(child => string.Equals(child.Title, title, StringComparison.Ordinal));
        IReadOnlyList<(string, IReadOnlyList<string>)> Types(string title) => [.. Section(title).Children.Select(child => (child.Title, child.Paragraphs()))];
    }

    private static ParameterPage Parameter(MarkdownSection section)
    {
        var name = section.Title[1..];
        var blocks = section.Blocks().ToList();
        var yaml = blocks.FirstOrDefault(block => block.IsCode && string.Equals(block.Info, "yaml", StringComparison.Ordinal)).Text
            ?? throw new PageException($"-{name} has no yaml block.");
        var facts = yaml.Split('\n').Where(line => line.Contains(':', StringComparison.Ordinal))
            .ToDictionary(line => line[..line.IndexOf(':', StringComparison.Ordinal)].Trim(), line => line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim(), StringComparer.Ordinal);
        IReadOnlyList<string> description = [.. blocks.Where(block => !block.IsCode).SelectMany(block => MarkdownSection.ParagraphsOf(block.Text))];
        return description.Count > 0 ? new ParameterPage(name, description, facts) : throw new PageException($"-{name} is not described.");
    }

    private static ExamplePage Example(MarkdownSection section)
    {
        var blocks = section.Blocks().ToList();
        return new ExamplePage(section.Title, string.Join("\n\n", blocks.Where(block => block.IsCode).Select(block => block.Text)),
            [.. blocks.Where(block => !block.IsCode).SelectMany(block => MarkdownSection.ParagraphsOf(block.Text))]);
    }
}
