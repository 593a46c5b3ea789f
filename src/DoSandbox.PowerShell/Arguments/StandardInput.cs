using System.Management.Automation;
using System.Text;
using DoSandbox.Commands;
using DoSandbox.Errors;

namespace DoSandbox.PowerShell;

/// <summary>What an object of the pipeline is as standard input.</summary>
internal static class StandardInput
{
    /// <summary>
    /// Bytes raw; the result of another command its exact output; text and simple values (numbers, dates, enums and the like) a line each.
    /// </summary>
    /// <exception cref="SandboxException">InvalidArgument: an object that has no text of its own.</exception>
    public static ReadOnlyMemory<byte> ToBytes(PSObject? value)
    {
        switch (value?.BaseObject)
        {
            case null:
                return default;
            case byte[] bytes:
                return bytes;
            case byte single:
                return new[] { single };
            case CommandResult result:
                return result.StdoutBytes;
            case CommandOutput output:
                return Line(output.Text);
            case string text:
                return Line(text);
            case char or bool or Guid or Uri or Version or Enum or IFormattable:
                return Line(LanguagePrimitives.ConvertTo<string>(value));
            case var other:
                throw new SandboxException(SandboxErrorCode.InvalidArgument,
                    $"A {(other is PSCustomObject ? "custom object" : other.GetType().Name)} from the pipeline has no text that a command could read.",
                    "Pipe text instead: a property of it, or the object through ConvertTo-Json, ConvertTo-Csv or Out-String -Stream.");
        }
    }

    private static byte[] Line(string text) => Encoding.UTF8.GetBytes(text + "\n");
}
