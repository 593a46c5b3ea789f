using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using DoSandbox.HostProcesses;

namespace DoSandbox.UnitTests.Cli;

/// <summary>One local sandbox named demo, made by the program itself.</summary>
public sealed class CliSandbox : CliProgram, IAsyncLifetime
{
    public async Task InitializeAsync()
    {
        var made = await RunAsync("create", "--name", "demo", "--ttl", "30m");
        Assert.True(made.Success, made.Stderr);
        Assert.Equal("demo\n", made.Stdout);
    }

    public async Task DisposeAsync()
    {
        await RunAsync("delete", "--all", "--force");
        Dispose();
    }

    public override void Dispose()
    {
        // Once only: the framework calls both.
        if (Directory.Exists(Home))
        {
            base.Dispose();
        }
    }
}

public sealed class CliSandboxTests : IClassFixture<CliSandbox>, IDisposable
{
    private readonly CliSandbox _cli;
    private readonly string _folder = Directory.CreateTempSubdirectory("dosandbox-cli-").FullName;

    public CliSandboxTests(CliSandbox cli)
    {
        _cli = cli;
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(124)]
    [InlineData(130)]
    [InlineData(255)]
    public async Task The_exit_code_is_the_commands(int code)
    {
        var run = await _cli.RunAsync("exec", "demo", $"exit {code}");
        Assert.Equal(code, run.ExitCode);
        Assert.Empty(run.StderrBytes);
    }

    [Fact]
    public async Task Death_by_a_signal_is_128_and_its_number()
    {
        Assert.Equal(128 + 15, (await _cli.RunAsync("exec", "demo", "kill -TERM $$")).ExitCode);
    }

    [Fact]
    public async Task Every_byte_value_comes_out_as_it_went_in_on_its_own_stream()
    {
        var all = Enumerable.Range(0, 256).Select(value => (byte)value).Concat("\n\n no end"u8.ToArray()).ToArray();
        var run = await _cli.Command("exec", "demo", "tee /dev/stderr").WithStandardInput(all).RunAsync();
        Assert.Equal(all, run.StdoutBytes);
        Assert.Equal(all, run.StderrBytes);
        Assert.Equal(0, run.ExitCode);
    }

    [Fact]
    public async Task Large_input_and_output_are_exact()
    {
        var data = new byte[20_000_000];
        new Random(2).NextBytes(data);
        var run = await _cli.Command("exec", "demo", "cat").WithStandardInput(data).RunAsync();
        Assert.Equal(SHA256.HashData(data), SHA256.HashData(run.StdoutBytes));
    }

    [Fact]
    public async Task Input_from_a_file_is_passed_on()
    {
        var file = Path.Combine(_folder, "input");
        await File.WriteAllTextAsync(file, "from a file\n");
        var run = await HostCommand.For("/bin/sh").WithArguments("-c", "exec \"$0\" exec demo 'cat -n' < \"$1\"", CliProgram.Path, file)
            .WithEnvironment("DOSANDBOX_HOME", _cli.Home).RunAsync();
        Assert.Equal("     1\tfrom a file\n", run.Stdout);
    }

    [Fact]
    public async Task Input_that_never_ends_does_not_hold_a_command_back()
    {
        using var process = _cli.Start("exec", "demo", "echo done");
        Assert.Equal("done\n", await process.StandardOutput.ReadToEndAsync());
        await process.WaitForExitAsync();
        Assert.Equal(0, process.ExitCode);
    }

    [Fact]
    public async Task Output_into_one_file_is_not_overwritten_by_the_other_stream()
    {
        var file = Path.Combine(_folder, "both");
        var run = await HostCommand.For("/bin/sh").WithArguments("-c", "echo first > \"$1\"; \"$0\" exec demo 'for i in 1 2 3; do echo out; echo err >&2; done' >> \"$1\" 2>&1", CliProgram.Path, file)
            .WithEnvironment("DOSANDBOX_HOME", _cli.Home).RunAsync();
        Assert.Equal(0, run.ExitCode);
        var lines = await File.ReadAllLinesAsync(file);
        Assert.Equal("first", lines[0]);
        Assert.Equal(3, lines.Count(line => line == "out"));
        Assert.Equal(3, lines.Count(line => line == "err"));
    }

    [Fact]
    public async Task Several_words_are_a_program_and_its_arguments()
    {
        var run = await _cli.RunAsync("exec", "demo", "printf", "<%s>", "a b", "$HOME", "it's", "-x", "");
        Assert.Equal("<a b><$HOME><it's><-x><>", run.Stdout);
    }

    [Fact]
    public async Task Variables_and_directory_are_set()
    {
        var run = await _cli.Command("exec", "demo", "--env", "A=1=2\n'\"", "-e", "DOSANDBOX_TEST_SECRET", "--cwd", "/tmp", "printf '%s|%s|%s' \"$A\" \"$DOSANDBOX_TEST_SECRET\" \"$PWD\"")
            .WithEnvironment("DOSANDBOX_TEST_SECRET", "taken along").RunAsync();
        Assert.Equal("1=2\n'\"|taken along|/tmp", run.Stdout);
    }

    [Fact]
    public async Task A_time_out_is_124_with_the_output_so_far_and_ends_the_tree()
    {
        var run = await _cli.RunAsync("exec", "demo", "--timeout", "1", "echo before; setsid sleep 4711 & sleep 4711");
        Assert.Equal(124, run.ExitCode);
        Assert.Equal("before\n", run.Stdout);
        Assert.StartsWith("sandbox: The command did not end within 1 s.\n  ", run.Stderr, StringComparison.Ordinal);
        await AssertNoneAsync("sleep 4711");
    }

    [Theory]
    [InlineData(2, 130)]
    [InlineData(15, 143)]
    public async Task A_signal_ends_the_command_and_its_tree(int signal, int code)
    {
        var seconds = (5000 + signal).ToString(CultureInfo.InvariantCulture);
        using var process = _cli.Start("exec", "demo", $"echo started; setsid sleep {seconds} & sleep {seconds}");
        Assert.Equal("started", await process.StandardOutput.ReadLineAsync());
        var clock = Stopwatch.StartNew();
        Assert.Equal(0, CliProgram.Signal(process.Id, signal));
        Assert.True(process.WaitForExit(TimeSpan.FromSeconds(60)), "it does not end");
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(3), $"it took {clock.Elapsed.TotalSeconds:0.0} s");
        Assert.Equal(code, process.ExitCode);
        await AssertNoneAsync($"sleep {seconds}");
    }

    [Fact]
    public async Task When_the_reader_goes_the_command_ends()
    {
        var run = await HostCommand.For("/bin/sh").WithArguments("-c", "\"$0\" exec demo 'yes a-reader-goes' | head -n 3", CliProgram.Path)
            .WithEnvironment("DOSANDBOX_HOME", _cli.Home).WithDeadline(TimeSpan.FromSeconds(30)).RunAsync();
        Assert.Equal("a-reader-goes\na-reader-goes\na-reader-goes\n", run.Stdout);
        await AssertNoneAsync("yes a-reader-goes");
    }

    [Fact]
    public async Task The_list_holds_it_as_text_and_as_json()
    {
        var text = await _cli.RunAsync("list");
        Assert.Matches(@"^NAME +ID +BACKEND +STATE +IMAGE +AGE +ENDS IN\n(.*\n)*demo +[0-9a-z-]+ +Local +Running +python +\S+ +\S+\n", text.Stdout);
        using var json = JsonDocument.Parse((await _cli.RunAsync("list", "--json")).StdoutBytes);
        var demo = json.RootElement.EnumerateArray().Single(sandbox => sandbox.GetProperty("name").GetString() == "demo");
        Assert.Equal("running", demo.GetProperty("state").GetString());
        Assert.Equal("Local", demo.GetProperty("backend").GetString());
        Assert.True(demo.GetProperty("expiresAt").GetDateTimeOffset() > demo.GetProperty("createdAt").GetDateTimeOffset());
        var id = demo.GetProperty("id").GetString()!;
        Assert.Equal("by id\n", (await _cli.RunAsync("exec", "--id", id, "echo by id")).Stdout);
        Assert.Equal(1, (await _cli.RunAsync("exec", "--id", "demo", "true")).ExitCode);
    }

    [Fact]
    public async Task Files_and_directories_go_both_ways()
    {
        var tree = Directory.CreateDirectory(Path.Combine(_folder, "tree"));
        var data = RandomNumberGenerator.GetBytes(3_000_000);
        await File.WriteAllBytesAsync(Path.Combine(tree.FullName, "da ta\n[1]"), data);
        await File.WriteAllTextAsync(Path.Combine(tree.FullName, "-run.sh"), "#!/bin/sh\necho ran\n");
        File.SetUnixFileMode(Path.Combine(tree.FullName, "-run.sh"), (UnixFileMode)0b111_101_101);

        AssertDone(await _cli.RunAsync("upload", "demo", tree.FullName, Path.Combine(tree.FullName, "-run.sh"), "/workspace/in"));
        Assert.Equal("ran\nran\n", (await _cli.RunAsync("exec", "demo", "/workspace/in/tree/-run.sh; /workspace/in/-run.sh")).Stdout);

        var back = Path.Combine(_folder, "back");
        AssertDone(await _cli.RunAsync("download", "demo", "/workspace/in/tree", back + "/"));
        Assert.Equal(data, await File.ReadAllBytesAsync(Path.Combine(back, "tree", "da ta\n[1]")));
        Assert.Equal((UnixFileMode)0b111_101_101, File.GetUnixFileMode(Path.Combine(back, "tree", "-run.sh")));
    }

    [Fact]
    public async Task A_file_that_is_there_is_overwritten_only_by_force()
    {
        var file = Path.Combine(_folder, "file");
        await File.WriteAllTextAsync(file, "new");
        AssertDone(await _cli.RunAsync("exec", "demo", "printf old > /workspace/there"));
        var refused = await _cli.RunAsync("upload", "demo", file, "/workspace/there");
        Assert.Equal(1, refused.ExitCode);
        Assert.Contains("--force", refused.Stderr, StringComparison.Ordinal);
        Assert.Equal("old", (await _cli.RunAsync("exec", "demo", "cat /workspace/there")).Stdout);

        AssertDone(await _cli.RunAsync("upload", "demo", "--force", file, "/workspace/there"));
        refused = await _cli.RunAsync("download", "demo", "/workspace/there", file);
        Assert.Equal(1, refused.ExitCode);
        AssertDone(await _cli.RunAsync("exec", "demo", "printf newer > /workspace/there"));
        AssertDone(await _cli.RunAsync("download", "demo", "-f", "/workspace/there", file));
        Assert.Equal("newer", await File.ReadAllTextAsync(file));
    }

    [Theory]
    [InlineData("upload demo /no/such/file /workspace/")]
    [InlineData("download demo /no/such/file /tmp/")]
    public async Task A_file_that_is_not_there_is_an_error(string line)
    {
        var run = await _cli.RunAsync(line.Split(' '));
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("/no/such/file", run.Stderr, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_transfer_goes_on_past_what_fails()
    {
        var (first, second) = (Path.Combine(_folder, "first"), Path.Combine(_folder, "second"));
        await File.WriteAllTextAsync(first, "1");
        await File.WriteAllTextAsync(second, "2");
        var run = await _cli.RunAsync("upload", "demo", "/no/such/a", first, "/no/such/b", second, "/workspace/several");
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("/no/such/a", run.Stderr, StringComparison.Ordinal);
        Assert.Contains("/no/such/b", run.Stderr, StringComparison.Ordinal);
        Assert.Equal("12", (await _cli.RunAsync("exec", "demo", "cat /workspace/several/first /workspace/several/second")).Stdout);

        var back = Path.Combine(_folder, "back");
        run = await _cli.RunAsync("download", "demo", "/no/such/a", "/workspace/several/first", "/no/such/b", "/workspace/several/second", back);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("/no/such/a", run.Stderr, StringComparison.Ordinal);
        Assert.Contains("/no/such/b", run.Stderr, StringComparison.Ordinal);
        Assert.Equal("1", await File.ReadAllTextAsync(Path.Combine(back, "first")));
        Assert.Equal("2", await File.ReadAllTextAsync(Path.Combine(back, "second")));
    }

    [Fact]
    public async Task A_transfer_with_a_bad_argument_does_nothing()
    {
        var file = Path.Combine(_folder, "file");
        await File.WriteAllTextAsync(file, "1");
        AssertDone(await _cli.RunAsync("upload", "demo", file, "/workspace/unmoved"));
        var back = Path.Combine(_folder, "back");
        foreach (var line in (string[][])[["upload", "demo", file, "relative/"], ["upload", "demo", file, "", "/workspace/none/"],
            ["download", "demo", "/workspace/unmoved", "relative", back], ["download", "demo", "/workspace/unmoved", ""]])
        {
            Assert.Equal(2, (await _cli.RunAsync(line)).ExitCode);
        }

        Assert.False(Directory.Exists(back));
        Assert.NotEqual(0, (await _cli.RunAsync("exec", "demo", "ls /workspace/none")).ExitCode);
    }

    [Fact]
    public async Task A_name_that_is_taken_is_refused()
    {
        var run = await _cli.RunAsync("create", "--name", "demo");
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("demo", run.Stderr, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Deleting_goes_on_past_one_that_is_not_there_and_all_needs_a_yes()
    {
        using var other = new CliSandboxHome();
        var names = new[] { "one", "two", "three" };
        await Task.WhenAll(names.Select(async name => AssertDone(await other.RunAsync("create", "--name", name))));

        var some = await other.RunAsync("delete", "one", "nowhere", "two");
        Assert.Equal(1, some.ExitCode);
        Assert.Equal("one\ntwo\n", some.Stdout);
        Assert.Contains("'nowhere'", some.Stderr, StringComparison.Ordinal);

        var refused = await other.RunAsync("delete", "--all");
        Assert.Equal(2, refused.ExitCode);
        Assert.Contains("--force", refused.Stderr, StringComparison.Ordinal);
        Assert.Contains("three", (await other.RunAsync("list")).Stdout, StringComparison.Ordinal);

        var all = await other.RunAsync("delete", "--all", "--force");
        AssertDone(all);
        Assert.Equal("three\n", all.Stdout);
        Assert.Equal("[]", (await other.RunAsync("list", "--json")).Stdout.Trim());
    }

    [Fact]
    public async Task A_created_sandbox_is_told_as_json_and_host_network_comes_with_a_warning()
    {
        using var other = new CliSandboxHome();
        var run = await other.RunAsync("create", "--network", "host", "--json", "-e", "GREETING=hello", "--max-processes", "50");
        AssertDone(run);
        Assert.StartsWith("sandbox: warning: ", run.Stderr, StringComparison.Ordinal);
        using var json = JsonDocument.Parse(run.StdoutBytes);
        var name = json.RootElement.GetProperty("name").GetString()!;
        Assert.Equal("hello\n", (await other.RunAsync("exec", name, "echo $GREETING")).Stdout);
        Assert.Null(json.RootElement.GetProperty("expiresAt").GetString());
    }

    private static void AssertDone(HostCommandResult run) => Assert.True(run.ExitCode == 0, $"{run.ExitCode}: {run.Stderr}");

    /// <summary>Nothing with that command line runs in the sandbox.</summary>
    private async Task AssertNoneAsync(string commandLine)
    {
        // The command lines of /proc are NUL-separated; the pattern is put together inside so that this search does not find itself.
        var script = $"import os\nfor p in os.listdir('/proc'):\n    if p.isdecimal():\n        try:\n            line = open(f'/proc/{{p}}/cmdline','rb').read().rstrip(b'\\0').replace(b'\\0', b' ')\n        except OSError:\n            continue\n        if line == b'{commandLine}': print(p)\n";
        var run = await _cli.Command("exec", "demo", "python3 -").WithStandardInput(Encoding.UTF8.GetBytes(script)).RunAsync();
        Assert.Equal(0, run.ExitCode);
        Assert.Equal("", run.Stdout);
    }

    /// <summary>A state folder whose sandboxes go with it.</summary>
    private sealed class CliSandboxHome : CliProgram
    {
        public override void Dispose()
        {
            using var delete = Start("delete", "--all", "--force");
            delete.WaitForExit();
            base.Dispose();
        }
    }
}
