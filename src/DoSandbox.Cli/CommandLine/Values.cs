using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace DoSandbox.Cli.CommandLine;

/// <summary>Options whose values are more than a word.</summary>
internal static class Values
{
    private static readonly (string Unit, double Seconds)[] Units = [("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)];

    /// <summary>An option for a length of time: seconds, or a number with ms, s, m, h or d.</summary>
    public static Option<TimeSpan?> Duration(string name, string description, params string[] aliases) => new(name, aliases)
    {
        Description = description,
        HelpName = "seconds|10m|2h",
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (ParseDuration(text) is { } duration)
            {
                return duration;
            }

            result.AddError($"'{text}' is no length of time for {name}: use seconds, or a number with ms, s, m, h or d, such as 90s or 2h.");
            return null;
        },
    };

    /// <summary>An option for a number of at least 1.</summary>
    public static Option<T?> Limit<T>(string name, string description)
        where T : struct, System.Numerics.INumber<T> => new(name)
        {
            Description = description,
            HelpName = "n",
            CustomParser = result =>
            {
                var text = result.Tokens[0].Value;
                if (T.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var value) && value >= T.Zero)
                {
                    return value;
                }

                result.AddError($"'{text}' is no number for {name}: use one greater than zero, or 0 for no limit.");
                return null;
            },
        };

    /// <summary>The option --env, given any number of times.</summary>
    public static Option<Dictionary<string, string>> Environment() => new("--env", "-e")
    {
        Description = "Sets an environment variable. With a NAME alone its value is taken from the environment of this command: "
            + "so a secret stands in no command line, which every user of this machine could read. Can be given many times",
        HelpName = "NAME=value|NAME",
        Arity = ArgumentArity.OneOrMore,
        CustomParser = ParseEnvironment,
    };

    /// <summary>The duration that a text tells, or null.</summary>
    public static TimeSpan? ParseDuration(string text)
    {
        var (unit, seconds) = Array.Find(Units, entry => text.EndsWith(entry.Unit, StringComparison.Ordinal));
        var number = unit is null ? text : text[..^unit.Length];
        return double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value)
            && value * (unit is null ? 1 : seconds) is > 0 and < 1e9 and var length
            ? TimeSpan.FromSeconds(length)
            : null;
    }

    private static Dictionary<string, string> ParseEnvironment(ArgumentResult result)
    {
        var variables = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var token in result.Tokens)
        {
            var split = token.Value.IndexOf('=', StringComparison.Ordinal);
            var name = split < 0 ? token.Value : token.Value[..split];
            var value = split < 0 ? System.Environment.GetEnvironmentVariable(name) : token.Value[(split + 1)..];
            if (name.Length == 0)
            {
                // The text itself may hold a secret, so it is not repeated.
                result.AddError("A variable of --env has no name: use NAME=value or NAME.");
            }
            else if (value is null)
            {
                result.AddError($"The variable {name} of --env is not set here: export it first, or give a value with {name}=value.");
            }
            else
            {
                variables[name] = value;
            }
        }

        return variables;
    }
}
