using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace DoSandbox.Build;

/// <summary>The story of one sandbox: through the module where PowerShell is, else through the command `sandbox`.</summary>
internal static class DemoTask
{
    public static int Run(string[] args)
    {
        if (!OperatingSystem.IsLinux())
        {
            throw new BuildException("The demo makes a local sandbox, and local sandboxes need Linux.");
        }

        var clock = Stopwatch.StartNew();
        BuildTask.Run();
        Console.WriteLine(Text.Line($"demo: all is built ({clock.Elapsed.TotalSeconds:0.0} s); a local sandbox, from create to remove:"));
        if (PowerShell.Find() is { } pwsh && !args.Contains("--command"))
        {
            return RunWithHost((secret, listener) =>
                Shell.Run(pwsh, ["-NoProfile", "-NonInteractive", "-File", Repo.Path("build", "demo", "demo.ps1"), secret, Port(listener), string.Join(",", Addresses())]));
        }

        var code = RunWithHost(RunCommand);
        Console.WriteLine();
        Console.WriteLine($"demo: left out: the same story through the PowerShell module. It needs PowerShell 7.4 or later: {PowerShell.HowToGet}");
        return code;
    }

    /// <summary>Gives the host something to reach: a file, and a server that must stay without a visitor.</summary>
    private static int RunWithHost(Func<string, TcpListener, int> story)
    {
        var secret = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), $".dosandbox-demo-{Guid.NewGuid():N}");
        File.WriteAllText(secret, "a file of the host\n");
        using var listener = new TcpListener(IPAddress.Any, 0);
        try
        {
            listener.Start();
            using (var visitor = new TcpClient())
            {
                visitor.Connect(IPAddress.Loopback, ((IPEndPoint)listener.LocalEndpoint).Port);
                using var welcomed = listener.AcceptTcpClient();
            }

            var code = story(secret, listener);
            if (listener.Pending())
            {
                Console.WriteLine("demo: FAILED: the host's server had a visitor");
                return 1;
            }

            return code;
        }
        finally
        {
            File.Delete(secret);
        }
    }

    private static int RunCommand(string secret, TcpListener listener)
    {
        var name = $"demo-{RandomNumberGenerator.GetHexString(6, lowercase: true)}";
        var work = Directory.CreateTempSubdirectory("dosandbox-demo-").FullName;
        var whole = Stopwatch.StartNew();
        var made = false;
        try
        {
            Step("create a sandbox", () =>
            {
                made = true;
                Expect(Sandbox(["create", "--image", "python", "--name", name, "--ttl", "600"]));
            });
            Step("run a Python program", () =>
            {
                var run = Sandbox(["exec", name, "python3", "-"], Repo.Path("build", "demo", "hello.py"));
                Expect(run, text => text.Contains("500500", StringComparison.Ordinal));
            });
            Step("send a file, change it inside, fetch it back", () =>
            {
                var file = Path.Combine(work, "numbers.csv");
                File.WriteAllText(file, string.Concat(Enumerable.Range(1, 1000).Select(i => string.Create(CultureInfo.InvariantCulture, $"row {i},{i}\n"))));
                Expect(Sandbox(["upload", name, file, "/app/numbers.csv"]));
                var inside = Expect(Sandbox(["exec", name, "python3", "-", "/app/numbers.csv"], Repo.Path("build", "demo", "change.py"))).Trim();
                var back = Path.Combine(work, "changed.csv");
                Expect(Sandbox(["download", name, "/app/numbers.csv", back]));
                var outside = Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(back)));
                Console.WriteLine($"  SHA-256 inside  {inside}");
                Console.WriteLine($"  SHA-256 outside {outside}");
                Demand(inside == outside && File.ReadLines(back).Last() == "row 1000,2000", "the file that came back is not the file that was changed");
            });
            Step("try to reach the host's files, processes and network from inside", () =>
                Expect(Sandbox(["exec", name, "python3", "-", secret, Port(listener), .. Addresses()], Repo.Path("build", "demo", "escape.py"))));
            Step("remove it", () =>
            {
                Expect(Sandbox(["delete", name]));
                made = false;
                Demand(!Expect(Sandbox(["list"])).Contains(name, StringComparison.Ordinal), "the sandbox is still listed");
            });
            Console.WriteLine();
            Console.WriteLine(Text.Line($"demo: all held ({whole.Elapsed.TotalSeconds:0.0} s)"));
            return 0;
        }
        catch (BuildException e)
        {
            Console.WriteLine();
            Console.WriteLine($"demo: FAILED: {e.Message}");
            return 1;
        }
        finally
        {
            if (made)
            {
                Sandbox(["delete", name, "--force"]);
            }

            Directory.Delete(work, recursive: true);
        }
    }

    private static void Step(string what, Action action)
    {
        Console.WriteLine();
        Console.WriteLine($"* {what}");
        var clock = Stopwatch.StartNew();
        action();
        Console.WriteLine(Text.Line($"  ok, {clock.Elapsed.TotalSeconds:0.00} s"));
    }

    private static (int Code, string Output) Sandbox(string[] arguments, string? input = null)
    {
        Console.WriteLine($"  $ sandbox {string.Join(' ', arguments)}{(input is null ? "" : $" < {Path.GetRelativePath(Repo.Root, input)}")}");
        var start = new ProcessStartInfo(Repo.Cli, arguments) { UseShellExecute = false, RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        using var process = Process.Start(start)!;
        var output = new StringBuilder();
        process.OutputDataReceived += (_, line) => Show(line.Data, output);
        process.ErrorDataReceived += (_, line) => Show(line.Data, null);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        try
        {
            if (input is not null)
            {
                process.StandardInput.Write(File.ReadAllText(input));
            }

            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended without reading its input; its exit code tells the rest.
        }

        if (!process.WaitForExit(TimeSpan.FromMinutes(2)))
        {
            process.Kill(entireProcessTree: true);
            throw new BuildException($"sandbox {arguments[0]} did not end within two minutes.");
        }

        process.WaitForExit();
        return (process.ExitCode, output.ToString());

        static void Show(string? line, StringBuilder? kept)
        {
            if (line is not null)
            {
                lock (Console.Out)
                {
                    Console.WriteLine($"  {line}");
                }

                kept?.AppendLine(line);
            }
        }
    }

    private static string Expect((int Code, string Output) run, Func<string, bool>? also = null)
    {
        Demand(run.Code == 0, Text.Line($"that ended with exit code {run.Code}"));
        Demand(also is null || also(run.Output), "that is not what it should have printed");
        return run.Output;
    }

    private static void Demand(bool holds, string otherwise)
    {
        if (!holds)
        {
            throw new BuildException(otherwise);
        }
    }

    private static string Port(TcpListener listener) => ((IPEndPoint)listener.LocalEndpoint).Port.ToString(CultureInfo.InvariantCulture);

    /// <summary>This machine's own addresses on its network.</summary>
    private static string[] Addresses() =>
        [.. NetworkInterface.GetAllNetworkInterfaces().SelectMany(card => card.GetIPProperties().UnicastAddresses)
            .Select(address => address.Address).Where(address => address.AddressFamily == AddressFamily.InterNetwork && !IPAddress.IsLoopback(address))
            .Select(address => address.ToString()).Take(2)];
}
