using DoSandbox.Errors;

namespace DoSandbox.Backends.Local;

/// <summary>An image of the local backend: a promise that a toolchain is there.</summary>
/// <param name="Name">As for -Image.</param>
/// <param name="Program">The program that must be in the root.</param>
/// <param name="Package">Debian's package that has it.</param>
internal sealed record LocalImage(string Name, string Program, string Package)
{
    private static readonly LocalImage[] Known = [new("python", "python3", "python3"), new("node", "node", "nodejs")];

    /// <summary>The image when none is named.</summary>
    public static LocalImage Default => Known[0];

    private static readonly string[] Folders = ["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"];

    /// <summary>The image of that name.</summary>
    /// <exception cref="SandboxException">NotSupported.</exception>
    public static LocalImage Find(string name) =>
        Array.Find(Known, image => string.Equals(image.Name, name, StringComparison.Ordinal))
        ?? throw new SandboxException(SandboxErrorCode.NotSupported, $"The local backend has no image '{name}'.",
            $"Use -Image {string.Join(" or ", Known.Select(image => image.Name))}, with -RootFileSystem for a root of your own, or another backend (Get-SandboxBackend).");

    /// <summary>Refuses the image where this machine's own /usr, which is a sandbox's root by default, lacks its program.</summary>
    /// <exception cref="SandboxException">ToolMissing, naming the package.</exception>
    public void RequireOnHost()
    {
        if (!Folders.Any(folder => File.Exists(Path.Combine(folder, Program))))
        {
            throw new SandboxException(SandboxErrorCode.ToolMissing,
                $"The image '{Name}' is made of this machine's own programs, and {Program} is not below /usr here.", $"Install it: apt-get install {Package}");
        }
    }
}
