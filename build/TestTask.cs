using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace DoSandbox.Build;

/// <summary>Runs every suite and sums up. The last line is always `N passed, N failed, N skipped`.</summary>
internal static partial class TestTask
{
    private static readonly TimeSpan SuiteLimit = TimeSpan.FromMinutes(12);
    private static readonly TimeSpan HangLimit = TimeSpan.FromMinutes(4);

    private static string Results => Repo.Path("out", "test-results");

    private readonly record struct Count(int Passed, int Failed, int Skipped)
    {
        public static Count operator +(Count a, Count b) => new(a.Passed + b.Passed, a.Failed + b.Failed, a.Skipped + b.Skipped);

        public override string ToString() => $"{Passed} passed, {Failed} failed, {Skipped} skipped";
    }

    public static int Run(string[] args)
    {
        var total = new Count(0, 0, 0);
        try
        {
            var (suites, filter) = Parse(args);
            BuildTask.Run();
            Repo.Remove(Results);
            var projects = suites.Where(suite => suite.Project is not null).ToList();
            if (projects.Count > 0)
            {
                var clock = Stopwatch.StartNew();
                foreach (var suite in projects)
                {
                    BuildTask.DotNet("build", suite.Project!, "-c", "Release");
                }

                Console.WriteLine(Text.Line($"build: tests ({clock.Elapsed.TotalSeconds:0.0} s)"));
            }

            foreach (var suite in suites)
            {
                var clock = Stopwatch.StartNew();
                var count = suite.Project is null ? RunPester() : RunProject(suite.Name, suite.Project, filter);
                total += count;
                Console.WriteLine(Text.Line($"test: {suite.Name}: {count} ({clock.Elapsed.TotalSeconds:0.0} s)"));
            }
        }
        catch (Exception e)
        {
            // Whatever stopped the run, it is a failure, and the last line says so.
            Console.Error.WriteLine(e is BuildException ? $"build: {e.Message}" : e.ToString());
            total += new Count(0, 1, 0);
        }

        Console.Error.Flush();
        Console.WriteLine(total);
        return total.Failed == 0 && total.Passed > 0 ? 0 : 1;
    }

    private static (List<(string Name, string? Project)> Suites, string? Filter) Parse(string[] args)
    {
        var all = Directory.EnumerateDirectories(Repo.Path("tests")).Order(StringComparer.Ordinal)
            .SelectMany(folder => Directory.EnumerateFiles(folder, "*.csproj").Where(IsTestProject).Select(project => (Name: Path.GetFileName(folder), Project: (string?)project)))
            // The quickest first, so that a plain mistake shows at once.
            .OrderBy(suite => suite.Name == "unit" ? 0 : 1).ToList();
        if (File.Exists(Repo.Path("tests", "pester", "run.ps1")))
        {
            all.Add(("pester", null));
        }

        var wanted = new List<string>();
        string? filter = null;
        for (var i = 0; i < args.Length; i++)
        {
            if (args[i] is "--filter" && i + 1 < args.Length)
            {
                filter = args[++i];
            }
            else
            {
                wanted.Add(args[i].ToLowerInvariant());
            }
        }

        var unknown = wanted.Find(name => all.TrueForAll(suite => suite.Name != name));
        return unknown is null
            ? (all.Where(suite => wanted.Count == 0 || wanted.Contains(suite.Name)).ToList(), filter)
            : throw new BuildException($"There is no test suite '{unknown}'; there are: {string.Join(", ", all.Select(suite => suite.Name))}.");
    }

    private static bool IsTestProject(string project) => File.ReadAllText(project).Contains("Microsoft.NET.Test.Sdk", StringComparison.Ordinal);

    private static Count RunProject(string name, string project, string? filter)
    {
        var folder = Path.Combine(Results, name);
        List<string> arguments =
        [
            "test", project, "-c", "Release", "--no-build", "--nologo", "-v", "q",
            "--logger", "trx;LogFileName=results.trx", "--results-directory", folder,
            // A test that hangs is named, and the others' results are kept.
            "--blame-hang-timeout", Text.Line($"{HangLimit.TotalSeconds:0}s"), "--blame-hang-dump-type", "none",
        ];
        if (filter is not null)
        {
            arguments.AddRange(["--filter", filter]);
        }

        var run = Shell.Capture("dotnet", arguments, SuiteLimit);
        var trx = Path.Combine(folder, "results.trx");
        var count = File.Exists(trx) ? ReadTrx(trx) : new Count(0, 0, 0);
        // A test host that died, or found nothing, has failed whatever its report says.
        if (count.Failed == 0 && (run.ExitCode != 0 || (filter is null && count.Passed + count.Skipped == 0)))
        {
            Console.Write(run.Output);
            Console.Write(run.Error);
            Console.WriteLine($"test: {name}: the run itself failed (exit code {run.ExitCode}); that counts as one failed test");
            count += new Count(0, 1, 0);
        }

        return count;
    }

    private static Count ReadTrx(string file)
    {
        try
        {
            var count = new Count(0, 0, 0);
            foreach (var result in XDocument.Load(file).Descendants().Where(element => element.Name.LocalName == "UnitTestResult"))
            {
                var outcome = result.Attribute("outcome")?.Value ?? "Failed";
                count += outcome switch
                {
                    "Passed" => new Count(1, 0, 0),
                    "NotExecuted" => new Count(0, 0, 1),
                    _ => new Count(0, 1, 0),
                };
                if (outcome != "Passed")
                {
                    Console.WriteLine($"test: {(outcome == "NotExecuted" ? "skipped" : "FAILED")} {result.Attribute("testName")?.Value}");
                    foreach (var line in result.Descendants().Where(element => element.Name.LocalName is "Message" or "StackTrace" or "StdOut" or "StdErr")
                        .SelectMany(element => element.Value.Split('\n', StringSplitOptions.RemoveEmptyEntries)))
                    {
                        Console.WriteLine($"    {line.TrimEnd()}");
                    }
                }
            }

            return count;
        }
        catch (System.Xml.XmlException)
        {
            return new Count(0, 1, 0);
        }
    }

    private static Count RunPester()
    {
        var written = Directory.EnumerateFiles(Repo.Path("tests", "pester"), "*.Tests.ps1", SearchOption.AllDirectories)
            .Sum(file => PesterTest().Count(File.ReadAllText(file)));
        var pwsh = PowerShell.Find();
        var reason = pwsh is null ? $"PowerShell 7.4 or later is not here; how to get it: {PowerShell.HowToGet}"
            : !PowerShell.HasPester(pwsh) ? "Pester 5 is not here: run ./build.ps1 Bootstrap, or in pwsh: Install-PSResource Pester"
            : null;
        if (reason is not null)
        {
            Console.WriteLine($"test: pester: {written} tests skipped: {reason}");
            return new Count(0, 0, written);
        }

        var run = Shell.Capture(pwsh!, ["-NoProfile", "-NonInteractive", "-File", Repo.Path("tests", "pester", "run.ps1")], SuiteLimit);
        var summary = Summary().Matches(run.Output).LastOrDefault();
        var count = summary is null ? new Count(0, 0, 0) : new Count(Number(summary, "passed"), Number(summary, "failed"), Number(summary, "skipped"));
        if (run.ExitCode != 0 || count.Failed > 0 || summary is null)
        {
            Console.Write(run.Output);
            Console.Write(run.Error);
        }

        if (count.Failed == 0 && (run.ExitCode != 0 || count.Passed == 0))
        {
            Console.WriteLine($"test: pester: the run itself failed (exit code {run.ExitCode}); that counts as one failed test");
            count += new Count(0, 1, 0);
        }

        return count;
    }

    private static int Number(Match match, string group) => int.Parse(match.Groups[group].ValueSpan, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^\s*It\s+['""(]", RegexOptions.Multiline | RegexOptions.IgnoreCase | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex PesterTest();

    [GeneratedRegex(@"^(?<passed>\d+) passed, (?<failed>\d+) failed, (?<skipped>\d+) skipped\s*$", RegexOptions.Multiline | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Summary();
}
