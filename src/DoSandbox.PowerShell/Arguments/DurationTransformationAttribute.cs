using System.Globalization;
using System.Management.Automation;
using System.Text.RegularExpressions;

namespace DoSandbox.PowerShell;

/// <summary>Makes a <see cref="TimeSpan"/> of a TimeSpan, of a number of seconds, of text such as 90s, 30m, 1h30m or 2d, and of 01:30:00.</summary>
[AttributeUsage(AttributeTargets.Property | AttributeTargets.Field)]
public sealed partial class DurationTransformationAttribute : ArgumentTransformationAttribute
{
    /// <inheritdoc/>
    public override object Transform(EngineIntrinsics engineIntrinsics, object inputData)
    {
        var value = inputData is PSObject wrapped ? wrapped.BaseObject : inputData;
        if (value is TimeSpan)
        {
            return value;
        }

        if (value is not (string or bool or char) && LanguagePrimitives.TryConvertTo<double>(value, out var seconds))
        {
            return FromSeconds(seconds);
        }

        if (value is string text)
        {
            text = text.Trim();
            if (double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out seconds))
            {
                return FromSeconds(seconds);
            }

            if (Units().Match(text) is { Success: true, Length: > 0 } match)
            {
                return FromSeconds(Part(match, "d") * 86400 + Part(match, "h") * 3600 + Part(match, "m") * 60 + Part(match, "s"));
            }

            if (text.Contains(':', StringComparison.Ordinal) && TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out var span))
            {
                return span;
            }
        }

        throw new ArgumentTransformationMetadataException($"'{value}' is no length of time. Use seconds, a TimeSpan, or text such as 90s, 30m, 1h30m or 2d.");
    }

    private static double Part(Match match, string group) =>
        match.Groups[group] is { Success: true } part ? double.Parse(part.ValueSpan, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture) : 0;

    private static TimeSpan FromSeconds(double seconds) =>
        double.IsFinite(seconds) && Math.Abs(seconds) <= TimeSpan.MaxValue.TotalSeconds / 2
            ? TimeSpan.FromSeconds(seconds)
            : throw new ArgumentTransformationMetadataException("This length of time is out of bounds.");

    [GeneratedRegex(@"^(?=.)((?<d>\d+(\.\d+)?)d)?\s*((?<h>\d+(\.\d+)?)h)?\s*((?<m>\d+(\.\d+)?)m)?\s*((?<s>\d+(\.\d+)?)s)?$",
        RegexOptions.IgnoreCase | RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Units();
}
