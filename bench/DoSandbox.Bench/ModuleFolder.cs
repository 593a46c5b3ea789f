namespace DoSandbox.Bench;

/// <summary>The built module of this checkout, and a small one to measure it against.</summary>
internal static class ModuleFolder
{
    /// <summary>The manifest of the built module, or null.</summary>
    public static string? Find()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var manifest = Path.Combine(folder.FullName, "module", "DoSandbox.psd1");
            if (File.Exists(manifest))
            {
                return File.Exists(Path.Combine(folder.FullName, "module", "bin", "DoSandbox.PowerShell.dll")) ? manifest : null;
            }
        }

        return null;
    }

    /// <summary>Writes a binary module of two cmdlets with a manifest: the least that such a module can be.</summary>
    public static string WriteTwoCmdlets(string folder)
    {
        var module = Directory.CreateDirectory(Path.Combine(folder, "Two")).FullName;
        var make = """
            Add-Type -OutputAssembly '@/Two.dll' -TypeDefinition 'using System.Management.Automation;
            [Cmdlet("Get", "One")] public class GetOne : PSCmdlet { protected override void ProcessRecord() { WriteObject(1); } }
            [Cmdlet("Get", "Two")] public class GetTwo : PSCmdlet { protected override void ProcessRecord() { WriteObject(2); } }'
            New-ModuleManifest -Path '@/Two.psd1' -RootModule Two.dll -CmdletsToExport Get-One, Get-Two -FunctionsToExport ([string[]]::new(0)) -AliasesToExport ([string[]]::new(0))
            """.Replace("@", module, StringComparison.Ordinal);
        Measure.RunAsync("pwsh", "-NoProfile", "-NonInteractive", "-Command", make).GetAwaiter().GetResult();
        return Path.Combine(module, "Two.psd1");
    }
}
