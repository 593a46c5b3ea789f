using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace DoSandbox.Build;

/// <summary>Where things are in the repository.</summary>
internal static class Repo
{
    public static string Root { get; } = FindRoot();

    /// <summary>Everything made that is not the module.</summary>
    public static string Out => Path("out");

    public static string ModuleBin => Path("module", "bin");

    public static string Agent => Path("module", "bin", "agent", "linux-x64", "dosandbox-agent");

    public static string Cli => Path("out", "sandbox", OperatingSystem.IsWindows() ? "sandbox.exe" : "sandbox");

    public static string Version { get; } = ReadVersion();

    public static string Path(params string[] parts) => System.IO.Path.Combine([Root, .. parts]);

    public static void Remove(string path)
    {
        if (Directory.Exists(path))
        {
            Directory.Delete(path, recursive: true);
        }
        else if (File.Exists(path))
        {
            File.Delete(path);
        }
    }

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(System.IO.Path.Combine(folder.FullName, "DoSandbox.slnx")))
            {
                return folder.FullName;
            }
        }

        throw new BuildException("This program must run inside the repository.");
    }

    private static string ReadVersion()
    {
        var line = File.ReadLines(Path("module", "DoSandbox.psd1")).First(text => text.Contains("ModuleVersion", StringComparison.Ordinal));
        return line.Split('\'')[1];
    }
}

/// <summary>Remembers what a step was made from, so that it runs again only when that changed.</summary>
internal sealed class Stamp(string name, IReadOnlyList<string> inputs, IReadOnlyList<string> outputs)
{
    private string File => Repo.Path("out", "stamps", name);

    public bool IsFresh => outputs.All(Path.Exists) && System.IO.File.Exists(File) && System.IO.File.ReadAllText(File) == Fingerprint();

    public void Set()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(File)!);
        System.IO.File.WriteAllText(File, Fingerprint());
    }

    private string Fingerprint()
    {
        var text = new StringBuilder();
        foreach (var file in inputs.Concat(outputs).Select(path => Repo.Path(path)).SelectMany(Files).Order(StringComparer.Ordinal))
        {
            var info = new FileInfo(file);
            text.Append(CultureInfo.InvariantCulture, $"{file}|{info.Length}|{info.LastWriteTimeUtc.Ticks}\n");
        }

        return Convert.ToHexString(SHA256.HashData(Encoding.UTF8.GetBytes(text.ToString())));
    }

    private static IEnumerable<string> Files(string path)
    {
        if (System.IO.File.Exists(path))
        {
            return [path];
        }

        return Directory.Exists(path)
            ? Directory.EnumerateFiles(path, "*", SearchOption.AllDirectories).Where(file =>
                !file.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal)
                && !file.Contains($"{Path.DirectorySeparatorChar}bin{Path.DirectorySeparatorChar}", StringComparison.Ordinal))
            : [];
    }
}

/// <summary>Text for people that reads the same in every culture.</summary>
internal static class Text
{
    public static string Line(FormattableString text) => FormattableString.Invariant(text);
}
