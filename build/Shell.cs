using System.Diagnostics;

namespace DoSandbox.Build;

/// <summary>Runs the programs that tasks are made of.</summary>
internal static class Shell
{
    /// <summary>What a captured program left.</summary>
    public sealed record Result(int ExitCode, string Output, string Error);

    /// <summary>Runs a program on this one's own output. Its input is empty, so that nothing ever waits for a person.</summary>
    public static int Run(string file, IEnumerable<string> arguments, TimeSpan? limit = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        using var process = Start(file, arguments, environment, capture: false);
        process.StandardInput.Close();
        return Wait(process, limit);
    }

    /// <summary>Runs a program and keeps what it writes. <paramref name="echo"/> also shows its output as it comes.</summary>
    public static Result Capture(string file, IEnumerable<string> arguments, TimeSpan? limit = null, IReadOnlyDictionary<string, string>? environment = null, bool echo = false)
    {
        using var process = Start(file, arguments, environment, capture: true);
        process.StandardInput.Close();
        var output = Read(process.StandardOutput, echo ? Console.Out : null);
        var error = Read(process.StandardError, echo ? Console.Error : null);
        var code = Wait(process, limit);
        // A grandchild may hold the pipes open after the program itself has ended; what came by then is enough.
        Task.WaitAll([output, error], TimeSpan.FromSeconds(5));
        return new Result(code, Finished(output), Finished(error));

        static string Finished(Task<string> text) => text.IsCompletedSuccessfully ? text.Result : "";
    }

    /// <summary>The full path of a program on PATH, or null.</summary>
    public static string? Find(string name)
    {
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Where(folder => folder.Length > 0);
        // Ordinary users have no sbin on their PATH, yet mkfs lives there.
        var all = OperatingSystem.IsWindows() ? folders : folders.Concat(["/usr/sbin", "/sbin"]);
        var names = OperatingSystem.IsWindows() ? [name + ".exe", name + ".cmd"] : new[] { name };
        return all.SelectMany(folder => names.Select(file => Path.Combine(folder, file))).FirstOrDefault(File.Exists);
    }

    private static async Task<string> Read(StreamReader reader, TextWriter? echo)
    {
        var text = new System.Text.StringBuilder();
        while (await reader.ReadLineAsync() is { } line)
        {
            text.AppendLine(line);
            echo?.WriteLine(line);
        }

        return text.ToString();
    }

    private static Process Start(string file, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment, bool capture)
    {
        var start = new ProcessStartInfo(file)
        {
            UseShellExecute = false,
            WorkingDirectory = Repo.Root,
            RedirectStandardInput = true,
            RedirectStandardOutput = capture,
            RedirectStandardError = capture,
        };
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        return Process.Start(start) ?? throw new BuildException($"{file} did not start.");
    }

    private static int Wait(Process process, TimeSpan? limit)
    {
        if (limit is null)
        {
            process.WaitForExit();
        }
        else if (!process.WaitForExit(limit.Value))
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
            Console.Error.WriteLine(Text.Line($"build: {Path.GetFileName(process.StartInfo.FileName)} was ended after {limit.Value.TotalSeconds:0} s."));
            return 124;
        }

        return process.ExitCode;
    }
}
