using System.Text;

namespace DoSandbox.Docs;

/// <summary>Makes the plain text of an about topic: 80 columns, code as it is.</summary>
internal static class AboutText
{
    private const int Width = 80;
    private const string Indent = "    ";

    public static string FromMarkdown(string markdown)
    {
        var text = new StringBuilder();
        foreach (var section in MarkdownSection.Parse(markdown.Split('\n').Select(line => line.TrimEnd('\r'))))
        {
            Append(text, section);
        }

        return text.ToString();
    }

    private static void Append(StringBuilder text, MarkdownSection section)
    {
        text.Append(section.Level == 1 ? "TOPIC\n" + Indent : "").Append(section.Level == 2 ? section.Title.ToUpperInvariant() : section.Title).Append("\n\n");
        foreach (var (isCode, _, block) in section.Blocks())
        {
            if (isCode)
            {
                foreach (var line in block.Split('\n'))
                {
                    text.Append(Indent).Append(Indent).Append(line).Append('\n');
                }
            }
            else
            {
                bool? afterItem = null;
                foreach (var paragraph in MarkdownSection.ParagraphsOf(block))
                {
                    var isItem = paragraph.StartsWith("- ", StringComparison.Ordinal);
                    text.Append(afterItem is null || (afterItem.Value && isItem) ? "" : "\n");
                    afterItem = isItem;
                    Wrap(text, paragraph);
                }
            }

            text.Append('\n');
        }

        foreach (var child in section.Children)
        {
            Append(text, child);
        }
    }

    private static void Wrap(StringBuilder text, string paragraph)
    {
        var line = new StringBuilder(Indent);
        foreach (var word in paragraph.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (line.Length > Indent.Length && line.Length + 1 + word.Length > Width)
            {
                text.Append(line).Append('\n');
                line.Clear().Append(Indent);
            }

            line.Append(line.Length > Indent.Length ? " " : "").Append(word);
        }

        text.Append(line).Append('\n');
    }
}
