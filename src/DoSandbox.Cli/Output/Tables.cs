using DoSandbox.Errors;
using Spectre.Console;

namespace DoSandbox.Cli.Output;

/// <summary>Tables for people.</summary>
internal static class Tables
{
    /// <summary>Prints rows; their text is made harmless, and never cut where nobody looks at it in a window.</summary>
    public static void Write(string[] headings, IEnumerable<string[]> rows)
    {
        var table = new Table().Border(TableBorder.None);
        foreach (var heading in headings)
        {
            table.AddColumn(new TableColumn(new Text(heading)).NoWrap().PadLeft(0).PadRight(2));
        }

        foreach (var row in rows)
        {
            table.AddRow(row.Select(cell => new Text(SafeText.Clean(cell, 200))));
        }

        using var text = new StringWriter();
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = AnsiSupport.No,
            ColorSystem = ColorSystemSupport.NoColors,
            Interactive = InteractionSupport.No,
            Out = new AnsiConsoleOutput(text),
        });
        console.Profile.Width = 10_000;
        console.Write(table);
        foreach (var line in text.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            Stdio.WriteLine(line.TrimEnd());
        }
    }
}
