using System.Globalization;
using System.Text;
using DoSandbox.Commands;
using DoSandbox.Files;

namespace DoSandbox.PowerShell;

/// <summary>
/// Makes values fit for a terminal; the format views call it. What comes out of a sandbox is hostile: a file name or a line of output may
/// hold escape sequences that repaint the screen or type commands. Properties keep the exact text; only what is displayed is changed.
/// </summary>
public static class Display
{
    /// <summary>Text on one line: every control or direction character as an escape such as \n or \e.</summary>
    public static string OneLine(string? text) => Clean(text, keepLines: false);

    /// <summary>Text with its line ends and tabs, every other control or direction character as an escape.</summary>
    public static string Text(string? text) => Clean(text, keepLines: true);

    /// <summary>Text as a block for a list view: like <see cref="Text"/>, without the last line end.</summary>
    public static string Block(string? text)
    {
        var clean = Text(text);
        return clean.EndsWith('\n') ? clean[..^1] : clean;
    }

    /// <summary>A span of time in the two largest units, as in 2d 3h.</summary>
    public static string Span(TimeSpan? value)
    {
        if (value is not { } span)
        {
            return "";
        }

        var sign = span < TimeSpan.Zero ? "-" : "";
        span = span.Duration();
        var text = span switch
        {
            { TotalDays: >= 1 } => $"{(int)span.TotalDays}d {span.Hours}h",
            { TotalHours: >= 1 } => $"{span.Hours}h {span.Minutes}m",
            { TotalMinutes: >= 1 } => $"{span.Minutes}m {span.Seconds}s",
            _ => $"{span.Seconds}s",
        };
        return sign + text;
    }

    /// <summary>A moment in local time, without what a table has no room for; "never" when null.</summary>
    public static string Moment(DateTimeOffset? value) =>
        value is { } moment ? moment.ToLocalTime().ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture) : "never";

    /// <summary>How long it is until a moment; "over" when it has passed, "never" when null.</summary>
    public static string Until(DateTimeOffset? value) => value switch
    {
        null => "never",
        { } moment when moment <= DateTimeOffset.UtcNow => "over",
        { } moment => Span(moment - DateTimeOffset.UtcNow),
    };

    /// <summary>A number of bytes in the unit that fits.</summary>
    public static string Bytes(long value)
    {
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB"];
        var amount = (double)value;
        var unit = 0;
        for (; amount >= 1024 && unit < units.Length - 1; unit++)
        {
            amount /= 1024;
        }

        return amount.ToString(unit == 0 ? "0" : "0.0", CultureInfo.InvariantCulture) + " " + units[unit];
    }

    /// <summary>A duration in seconds.</summary>
    public static string Seconds(TimeSpan value) => value.TotalSeconds.ToString("0.000s", CultureInfo.InvariantCulture);

    /// <summary>A line of a command's output.</summary>
    public static string Line(CommandOutput output)
    {
        ArgumentNullException.ThrowIfNull(output);
        return Text(output.Text);
    }

    /// <summary>Names and values on one line.</summary>
    public static string Pairs(IReadOnlyDictionary<string, string>? values) =>
        values is null ? "" : OneLine(string.Join(", ", values.Select(pair => $"{pair.Key}={pair.Value}")));

    /// <summary>Type and permission bits as ls writes them, as in -rwxr-xr-x.</summary>
    public static string Mode(SandboxFile file)
    {
        ArgumentNullException.ThrowIfNull(file);
        Span<char> text = stackalloc char[10];
        text[0] = file.Type switch
        {
            SandboxFileType.Directory => 'd',
            SandboxFileType.SymbolicLink => 'l',
            SandboxFileType.File => '-',
            _ => '?',
        };
        var bits = (int)file.Mode;
        for (var i = 0; i < 9; i++)
        {
            text[1 + i] = (bits & (1 << (8 - i))) != 0 ? "rwx"[i % 3] : '-';
        }

        Special(ref text[3], UnixFileMode.SetUser, 's');
        Special(ref text[6], UnixFileMode.SetGroup, 's');
        Special(ref text[9], UnixFileMode.StickyBit, 't');
        return new string(text);

        void Special(ref char place, UnixFileMode bit, char letter)
        {
            if (file.Mode.HasFlag(bit))
            {
                place = place == 'x' ? letter : char.ToUpperInvariant(letter);
            }
        }
    }

    private static string Clean(string? text, bool keepLines)
    {
        if (string.IsNullOrEmpty(text))
        {
            return "";
        }

        StringBuilder? clean = null;
        for (var i = 0; i < text.Length; i++)
        {
            var c = text[i];
            var harmless = !IsHostile(c)
                || (keepLines && (c is '\n' or '\t' || (c == '\r' && i + 1 < text.Length && text[i + 1] == '\n')));
            if (harmless)
            {
                clean?.Append(c);
                continue;
            }

            clean ??= new StringBuilder(text, 0, i, text.Length + 16);
            _ = c switch
            {
                '\n' => clean.Append("\\n"),
                '\r' => clean.Append("\\r"),
                '\t' => clean.Append("\\t"),
                '\e' => clean.Append("\\e"),
                _ => clean.Append(c < 0x100 ? "\\x" : "\\u").Append(((int)c).ToString(c < 0x100 ? "x2" : "x4", CultureInfo.InvariantCulture)),
            };
        }

        return clean?.ToString() ?? text;
    }

    private static bool IsHostile(char c) =>
        char.IsControl(c) || c is '\u2028' or '\u2029' or '\ufeff' or (>= '\u200e' and <= '\u200f') or (>= '\u202a' and <= '\u202e') or (>= '\u2066' and <= '\u2069');
}
