using System.Collections;
using System.Management.Automation;
using DoSandbox.Errors;

namespace DoSandbox.PowerShell;

internal static class Dictionaries
{
    /// <summary>The hashtable as strings, each value as PowerShell makes it a string; null becomes the empty string.</summary>
    /// <exception cref="SandboxException">InvalidArgument: two keys are the same string, or a key is empty.</exception>
    public static Dictionary<string, string> ToStrings(IDictionary? values, string parameter)
    {
        var strings = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (DictionaryEntry entry in values ?? new Hashtable())
        {
            var name = LanguagePrimitives.ConvertTo<string>(entry.Key);
            if (name.Length == 0 || !strings.TryAdd(name, LanguagePrimitives.ConvertTo<string>(entry.Value) ?? ""))
            {
                throw new SandboxException(SandboxErrorCode.InvalidArgument, $"The name '{name}' in -{parameter} is empty or there twice.",
                    $"Write it like -{parameter} @{{ NAME = 'value' }}.");
            }
        }

        return strings;
    }
}
