namespace DoSandbox.Commands;

/// <summary>Words for a POSIX shell.</summary>
public static class ShellQuote
{
    /// <summary>The text as one word that any POSIX shell reads back exactly. It must hold no NUL.</summary>
    public static string Quote(string text) => $"'{text.Replace("'", @"'\''", StringComparison.Ordinal)}'";
}
