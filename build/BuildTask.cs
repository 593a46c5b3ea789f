using System.Diagnostics;

namespace DoSandbox.Build;

/// <summary>Makes what a user runs: the agent, the module, its help and the command `sandbox`.</summary>
internal static class BuildTask
{
    private static readonly string[] Shared = ["Directory.Build.props", "Directory.Packages.props", ".editorconfig", "module/DoSandbox.psd1", "src/DoSandbox.Wire"];

    public static int Run()
    {
        Bootstrap.Ensure();
        if (OperatingSystem.IsLinux())
        {
            Step("agent", new Stamp("agent", [.. Shared, "src/DoSandbox.Agent"], [Repo.Agent]), PublishAgent);
        }
        else
        {
            Console.WriteLine("build: agent left out: it is a program for Linux, and only Linux can make it");
        }

        Step("module", new Stamp("module", [.. Shared, "src/DoSandbox.Core", "src/DoSandbox.PowerShell", "src/DoSandbox.Loader"],
            [Path.Combine(Repo.ModuleBin, "DoSandbox.PowerShell.dll"), Path.Combine(Repo.ModuleBin, "DoSandbox.Core.dll"), Path.Combine(Repo.ModuleBin, "DoSandbox.Loader.dll")]),
            PublishModule);
        BuildHelp();
        Step("sandbox", new Stamp("cli", [.. Shared, "src/DoSandbox.Core", "src/DoSandbox.Cli"], [Repo.Cli]),
            () => DotNet("publish", Repo.Path("src", "DoSandbox.Cli"), "-c", "Release", "-o", Path.GetDirectoryName(Repo.Cli)!));
        return 0;
    }

    public static int RunDocs()
    {
        BuildHelp();
        return 0;
    }

    /// <summary>Runs dotnet quietly: only errors are shown.</summary>
    /// <exception cref="BuildException">It failed; what it wrote was shown.</exception>
    public static void DotNet(string verb, params string[] arguments)
    {
        var result = Shell.Capture("dotnet", [verb, .. arguments, "-v", "q", .. verb == "run" ? Array.Empty<string>() : ["-nologo"]]);
        if (result.ExitCode != 0)
        {
            Console.Error.Write(result.Output);
            Console.Error.Write(result.Error);
            throw new BuildException($"dotnet {verb} {string.Join(' ', arguments)} failed.");
        }
    }

    private static void BuildHelp()
    {
        var help = Repo.Path("module", "en-US");
        Step("help", new Stamp("help", [.. Shared, "docs/en-US", "docs/generator"], [help]),
            () => DotNet("run", "--project", Repo.Path("docs", "generator", "DoSandbox.Docs"), "-c", "Release"));
    }

    private static void PublishModule() =>
        // Compiled ahead the module imports faster; elsewhere the same code runs from its IL.
        DotNet("publish", Repo.Path("src", "DoSandbox.PowerShell"), "-c", "Release", "-o", Repo.ModuleBin,
            OperatingSystem.IsLinux() ? "-p:ReadyToRun=true" : "-p:ReadyToRun=false");

    private static void PublishAgent()
    {
        DotNet("publish", Repo.Path("src", "DoSandbox.Agent"), "-c", "Release", "-o", Repo.Path("out", "agent"));
        Directory.CreateDirectory(Path.GetDirectoryName(Repo.Agent)!);
        // A running supervisor executes the old file, which therefore cannot be written to; it can be replaced.
        var next = Repo.Agent + ".next";
        File.Copy(Repo.Path("out", "agent", "dosandbox-agent"), next, overwrite: true);
        File.Move(next, Repo.Agent, overwrite: true);
    }

    private static void Step(string name, Stamp stamp, Action run)
    {
        if (stamp.IsFresh)
        {
            Console.WriteLine($"build: {name} (up to date)");
            return;
        }

        var clock = Stopwatch.StartNew();
        run();
        stamp.Set();
        Console.WriteLine(Text.Line($"build: {name} ({clock.Elapsed.TotalSeconds:0.0} s)"));
    }
}
