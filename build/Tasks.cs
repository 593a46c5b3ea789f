using System.Diagnostics;

namespace DoSandbox.Build;

/// <summary>A task that cannot go on; its message is all that a person needs to see.</summary>
internal sealed class BuildException(string message) : Exception(message);

/// <summary>The tasks of build.ps1 and build.sh, which are both only a way to start this.</summary>
internal static class Tasks
{
    private const string Usage = """
        usage: build.sh <task> [arguments]        (or build.ps1 <Task> [arguments])

          bootstrap            installs the programs that building and running need, where that is allowed
          build                agent, module, help and the command `sandbox`
          demo                 the story of one sandbox, from create to remove
          test [suite...]      all tests, or those of the named suites (folders of tests/); --filter EXPRESSION as for dotnet test
          bench [arguments]    the benchmarks, for example: bench local
          docs                 the help files from docs/
          package              out/package: the module and the command, ready to hand on
          install              puts the module and the command where this user (root: every user) finds them
          clean                removes everything that the other tasks made
        """;

    public static int Run(string[] args)
    {
        // Nobody is there to look at a server's window or to be asked.
        Environment.SetEnvironmentVariable("DOTNET_CLI_TELEMETRY_OPTOUT", "1");
        Environment.SetEnvironmentVariable("DOTNET_NOLOGO", "1");
        Environment.SetEnvironmentVariable("DOTNET_SKIP_FIRST_TIME_EXPERIENCE", "1");
        // A build node that stays behind holds the caller's output open: a pipe would then wait for it.
        Environment.SetEnvironmentVariable("MSBUILDDISABLENODEREUSE", "1");
        Environment.SetEnvironmentVariable("DOTNET_CLI_USE_MSBUILD_SERVER", "0");
        if (Environment.GetEnvironmentVariable("CI") is { Length: > 0 })
        {
            Environment.SetEnvironmentVariable("UseSharedCompilation", "false");
        }

        var task = args.Length > 0 ? args[0].ToLowerInvariant() : "build";
        var rest = args.Skip(1).ToArray();
        try
        {
            return task switch
            {
                "bootstrap" => Bootstrap.Run(),
                "build" => BuildTask.Run(),
                "demo" => DemoTask.Run(rest),
                "test" => TestTask.Run(rest),
                "bench" => Bench(rest),
                "docs" => BuildTask.RunDocs(),
                "package" => PackageTask.Package(),
                "install" => PackageTask.Install(),
                "clean" => Clean(),
                "help" or "-h" or "--help" or "-?" => Help(),
                _ => throw new BuildException($"There is no task '{args[0]}'.{Environment.NewLine}{Usage}"),
            };
        }
        catch (Exception e) when (e is BuildException or IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"build: {e.Message}");
            return 1;
        }
    }

    private static int Help()
    {
        Console.WriteLine(Usage);
        return 0;
    }

    private static int Bench(string[] rest)
    {
        BuildTask.Run();
        return Shell.Run("dotnet", ["run", "-c", "Release", "--project", Repo.Path("bench", "DoSandbox.Bench"), "--", .. rest]);
    }

    private static int Clean()
    {
        var clock = Stopwatch.StartNew();
        foreach (var folder in new[] { "src", "tests", "bench", "docs" }.Select(name => Repo.Path(name)).Where(Directory.Exists))
        {
            foreach (var project in Directory.EnumerateFiles(folder, "*.csproj", SearchOption.AllDirectories).ToList())
            {
                Repo.Remove(Path.Combine(Path.GetDirectoryName(project)!, "bin"));
                Repo.Remove(Path.Combine(Path.GetDirectoryName(project)!, "obj"));
            }
        }

        Repo.Remove(Repo.Path("module", "bin"));
        foreach (var entry in Directory.Exists(Repo.Out) ? Directory.GetFileSystemEntries(Repo.Out) : [])
        {
            // This program runs from out/build: build.sh and build.ps1 make it again when it is older than its source.
            if (Path.GetFileName(entry) != "build")
            {
                Repo.Remove(entry);
            }
        }

        Console.WriteLine(Text.Line($"clean: done ({clock.Elapsed.TotalSeconds:0.0} s)"));
        return 0;
    }
}
