using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace DoSandbox.Wire.Execd;

/// <summary>Signals in messages of <c>/pty</c>: by name, with or without SIG, or by number.</summary>
public static class PtySignal
{
    private const int Largest = 64;

    // By number on Linux, on all architectures that .NET knows.
    private static readonly string[] Names =
    [
        "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN",
        "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];

    /// <summary>The number of a signal; null where the text names none.</summary>
    public static int? Parse(string? text)
    {
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
        {
            return number is >= 1 and <= Largest ? number : null;
        }

        var name = text is not null && text.StartsWith("SIG", StringComparison.OrdinalIgnoreCase) ? text[3..] : text;
        return string.IsNullOrEmpty(name) || Array.FindIndex(Names, known => known.Equals(name, StringComparison.OrdinalIgnoreCase)) is not (> 0 and var found) ? null : found;
    }

    /// <summary>The name of a signal, without SIG; its number where it has none.</summary>
    public static string NameOf(int signal) => signal > 0 && signal < Names.Length ? Names[signal] : signal.ToString(CultureInfo.InvariantCulture);
}

/// <summary>Takes a number for its text.</summary>
internal sealed class PtySignalConverter : JsonConverter<string>
{
    public override string? Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.TokenType == JsonTokenType.Number
        ? (reader.TryGetInt64(out var number) ? number : 0).ToString(CultureInfo.InvariantCulture)
        : reader.GetString();

    public override void Write(Utf8JsonWriter writer, string value, JsonSerializerOptions options) => writer.WriteStringValue(value);
}
