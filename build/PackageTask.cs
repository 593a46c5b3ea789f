using System.Formats.Tar;
using System.IO.Compression;

namespace DoSandbox.Build;

/// <summary>Puts what was built together: to hand on (Package) or to use on this machine (Install).</summary>
internal static class PackageTask
{
    public static int Package()
    {
        BuildTask.Run();
        var folder = Repo.Path("out", "package");
        Repo.Remove(folder);
        var module = Path.Combine(folder, "DoSandbox");
        CopyModule(Path.Combine(module, Repo.Version));
        var zip = Path.Combine(folder, $"DoSandbox.{Repo.Version}.zip");
        ZipFile.CreateFromDirectory(module, zip, CompressionLevel.Optimal, includeBaseDirectory: true);
        Console.WriteLine($"package: {Shown(Path.Combine(module, Repo.Version))}");
        Console.WriteLine($"package: {Shown(zip)}");
        if (OperatingSystem.IsLinux())
        {
            var cli = Path.Combine(folder, "sandbox");
            CopyCli(cli);
            var archive = Path.Combine(folder, $"sandbox-{Repo.Version}-linux-x64.tar.gz");
            using (var stream = new GZipStream(File.Create(archive), CompressionLevel.Optimal))
            {
                TarFile.CreateFromDirectory(cli, stream, includeBaseDirectory: true);
            }

            Console.WriteLine($"package: {Shown(archive)}");
        }

        return 0;
    }

    public static int Install()
    {
        BuildTask.Run();
        var everyone = OperatingSystem.IsLinux() && string.Equals(Environment.UserName, "root", StringComparison.Ordinal);
        var home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        var modules = everyone ? "/usr/local/share/powershell/Modules"
            : OperatingSystem.IsWindows() ? Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.MyDocuments), "PowerShell", "Modules")
            : Path.Combine(home, ".local", "share", "powershell", "Modules");
        var module = Path.Combine(modules, "DoSandbox", Repo.Version);
        CopyModule(module);
        Console.WriteLine($"install: the module is in {module}; in PowerShell: Import-Module DoSandbox");
        if (OperatingSystem.IsLinux())
        {
            var cli = everyone ? "/usr/local/lib/dosandbox" : Path.Combine(home, ".local", "lib", "dosandbox");
            var bin = everyone ? "/usr/local/bin" : Path.Combine(home, ".local", "bin");
            CopyCli(cli);
            Directory.CreateDirectory(bin);
            var link = Path.Combine(bin, "sandbox");
            File.Delete(link);
            File.CreateSymbolicLink(link, Path.Combine(cli, "sandbox"));
            Console.WriteLine($"install: the command is {link}");
            if (!(Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Contains(bin, StringComparer.Ordinal))
            {
                Console.WriteLine($"install: {bin} is not on your PATH; add it with: export PATH=\"{bin}:$PATH\"");
            }
        }

        return 0;
    }

    private static void CopyModule(string destination) => Copy(Repo.Path("module"), destination);

    private static void CopyCli(string destination)
    {
        Copy(Path.GetDirectoryName(Repo.Cli)!, destination);
        // The command finds its agent beside itself.
        var agent = Path.Combine(destination, "agent", "linux-x64", "dosandbox-agent");
        Directory.CreateDirectory(Path.GetDirectoryName(agent)!);
        File.Copy(Repo.Agent, agent, overwrite: true);
    }

    /// <summary>Replaces a folder by a copy that holds nothing a user has no use for.</summary>
    private static void Copy(string source, string destination)
    {
        // The new copy is complete before the old one goes.
        var next = destination.TrimEnd(Path.DirectorySeparatorChar) + ".next";
        Repo.Remove(next);
        foreach (var file in Directory.EnumerateFiles(source, "*", SearchOption.AllDirectories))
        {
            if (Path.GetExtension(file) is ".pdb" or ".dbg")
            {
                continue;
            }

            var target = Path.Combine(next, Path.GetRelativePath(source, file));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(file, target);
        }

        File.Copy(Repo.Path("LICENSE"), Path.Combine(next, "LICENSE"));
        Directory.CreateDirectory(Path.GetDirectoryName(destination)!);
        Repo.Remove(destination);
        Directory.Move(next, destination);
    }

    private static string Shown(string path) => Path.GetRelativePath(Repo.Root, path);
}
