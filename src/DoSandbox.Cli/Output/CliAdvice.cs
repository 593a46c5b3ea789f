using System.Text.RegularExpressions;

namespace DoSandbox.Cli.Output;

/// <summary>Advice is written in the words of the cmdlets; here it is told in those of this command.</summary>
internal static partial class CliAdvice
{
    private static readonly Dictionary<string, string> Words = new(StringComparer.OrdinalIgnoreCase)
    {
        ["New-Sandbox"] = "sandbox create",
        ["Get-Sandbox"] = "sandbox list",
        ["Remove-Sandbox"] = "sandbox delete",
        ["Get-SandboxBackend"] = "sandbox backends",
        ["Invoke-SandboxCommand"] = "sandbox exec",
        ["Get-SandboxFile"] = "sandbox download",
        ["Send-SandboxFile"] = "sandbox upload",
        ["-Image"] = "--image",
        ["-Name"] = "--name",
        ["-Backend"] = "--backend",
        ["-Force"] = "--force",
        ["-TimeoutSec"] = "--timeout",
        ["-TimeToLive"] = "--ttl",
        ["-MemoryMB"] = "--memory-mb",
        ["-CpuCount"] = "--cpu",
        ["-MaxProcesses"] = "--max-processes",
        ["-DiskMB"] = "--disk-mb",
        ["-Network"] = "--network",
        ["-RootFileSystem"] = "--root-file-system",
        ["-WorkingDirectory"] = "--cwd",
        ["-Environment"] = "--env",
    };

    public static string Translate(string advice) => Word().Replace(advice, match => Words.GetValueOrDefault(match.Value, match.Value));

    [GeneratedRegex(@"(?<![\w-])([A-Z][a-z]+)?-[A-Z][A-Za-z]+", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Word();
}
