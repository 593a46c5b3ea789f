using System.Reflection;
using System.Runtime.Loader;

namespace DoSandbox.Loader;

/// <summary>
/// Holds the module's assemblies apart from those of PowerShell and of other modules, so that two versions of the same package can live in
/// one process. Only this assembly is in the default context.
/// </summary>
public sealed class ModuleLoadContext : AssemblyLoadContext
{
    private const string CmdletAssembly = "DoSandbox.PowerShell";

    private static readonly Lazy<Assembly> Cmdlets = new(() => new ModuleLoadContext().LoadFromAssemblyName(new AssemblyName(CmdletAssembly)));

    private readonly string _directory = Path.GetDirectoryName(typeof(ModuleLoadContext).Assembly.Location)!;

    private ModuleLoadContext()
        : base("DoSandbox")
    {
    }

    /// <summary>The assembly with the cmdlets: the same one for every runspace of the process.</summary>
    public static Assembly LoadCmdlets() => Cmdlets.Value;

    /// <inheritdoc/>
    protected override Assembly? Load(AssemblyName assemblyName)
    {
        // What does not lie beside this assembly (PowerShell, the framework) comes from the default context.
        var path = Path.Combine(_directory, $"{assemblyName.Name}.dll");
        return File.Exists(path) ? LoadFromAssemblyPath(path) : null;
    }
}
