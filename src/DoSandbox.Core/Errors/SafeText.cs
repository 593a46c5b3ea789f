using System.Globalization;
using System.Text;

namespace DoSandbox.Errors;

/// <summary>Makes text that came from a sandbox fit to stand in a message: it cannot steer a terminal, and it has an end.</summary>
public static class SafeText
{
    /// <summary>Most characters that are kept where no other bound is given.</summary>
    public const int DefaultLength = 1000;

    /// <summary>
    /// The text on one line: every control, format or unpaired character (escape sequences, line ends, right-to-left overrides) as its
    /// code, and at most <paramref name="maxLength"/> characters of it.
    /// </summary>
    public static string Clean(string? text, int maxLength = DefaultLength)
    {
        if (string.IsNullOrEmpty(text))
        {
            return "";
        }

        var builder = new StringBuilder(Math.Min(text.Length, maxLength));
        foreach (var rune in text.EnumerateRunes())
        {
            if (builder.Length >= maxLength)
            {
                return builder.Append('…').ToString();
            }

            if (Rune.GetUnicodeCategory(rune) is UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate
                or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator or UnicodeCategory.PrivateUse)
            {
                builder.Append(rune.Value is '\n' or '\r' or '\t' ? " " : string.Create(CultureInfo.InvariantCulture, $"\\u{rune.Value:x4}"));
            }
            else
            {
                builder.Append(rune.ToString());
            }
        }

        return builder.ToString();
    }
}
