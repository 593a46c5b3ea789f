using System.Diagnostics;
using System.Globalization;
using System.Text;
using DoSandbox.Errors;
using DoSandbox.HostProcesses;

namespace DoSandbox.UnitTests.HostProcesses;

public sealed class HostCommandTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dosandbox-host-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static HostCommand Shell(string script, params string[] arguments) => HostCommand.For("/bin/sh").WithArguments(["-c", script, "sh", .. arguments]);

    [Fact]
    public async Task Both_streams_are_kept_apart_and_exact()
    {
        var result = await Shell(@"printf 'a\000\377\n\n b'; printf '\200' >&2; exit 7").RunAsync();
        Assert.Equal([(byte)'a', 0, 255, (byte)'\n', (byte)'\n', (byte)' ', (byte)'b'], result.StdoutBytes);
        Assert.Equal([0x80], result.StderrBytes);
        Assert.Equal(7, result.ExitCode);
        Assert.False(result.Success);
        Assert.False(result.OutputCut);
    }

    [Fact]
    public async Task Arguments_arrive_as_they_are()
    {
        string[] odd = ["", " ", "a b", "\"", "'", "\\", "$HOME", "-x", "line\nline", "ü€😀", "*"];
        var result = await Shell("for a in \"$@\"; do printf '%s\\0' \"$a\"; done", odd).RunAsync();
        Assert.Equal(odd, result.Stdout.Split('\0')[..^1]);
    }

    [Fact]
    public async Task Environment_variables_are_set_removed_and_inherited()
    {
        Environment.SetEnvironmentVariable("DOSANDBOX_TEST_INHERITED", "from here");
        Environment.SetEnvironmentVariable("DOSANDBOX_TEST_REMOVED", "from here");
        var result = await Shell("printf '%s|%s|%s' \"$DOSANDBOX_TEST_INHERITED\" \"${DOSANDBOX_TEST_REMOVED-gone}\" \"$DOSANDBOX_TEST_SET\"")
            .WithEnvironment("DOSANDBOX_TEST_REMOVED", null).WithEnvironment("DOSANDBOX_TEST_SET", "a\n\"b\"").RunAsync();
        Assert.Equal("from here|gone|a\n\"b\"", result.Stdout);
    }

    [Fact]
    public async Task Without_the_inherited_environment_only_what_was_set_is_seen()
    {
        var result = await HostCommand.For("/usr/bin/env").WithoutInheritedEnvironment().WithEnvironment("ONLY", "this").RunAsync();
        Assert.Equal("ONLY=this\n", result.Stdout);
    }

    [Fact]
    public async Task Standard_input_is_passed_on_whole_and_then_ends()
    {
        var input = new byte[3_000_000];
        new Random(1).NextBytes(input);
        var result = await HostCommand.For("cat").WithStandardInput(input).WithMaxOutput(input.Length).RunAsync();
        Assert.Equal(input, result.StdoutBytes);
        Assert.False(result.OutputCut);
    }

    [Fact]
    public async Task Standard_input_is_empty_unless_given()
    {
        Assert.Equal("0", (await Shell("printf '%s' \"$(cat | wc -c)\"").RunAsync()).Stdout.Trim());
    }

    [Fact]
    public async Task A_program_that_does_not_read_its_input_is_no_error()
    {
        var result = await Shell("exec 0<&-; exit 3").WithStandardInput(new byte[1_000_000]).RunAsync();
        Assert.Equal(3, result.ExitCode);
    }

    [Fact]
    public async Task Output_beyond_the_bound_is_read_dropped_and_told()
    {
        var result = await Shell("head -c 5000000 /dev/zero; echo end >&2").WithMaxOutput(1000).RunAsync();
        Assert.Equal(0, result.ExitCode);
        Assert.Equal(1000, result.StdoutBytes.Length);
        Assert.Equal("end\n", result.Stderr);
        Assert.True(result.OutputCut);
    }

    [Fact]
    public async Task The_working_directory_is_the_given_one()
    {
        Assert.Equal(_folder, (await HostCommand.For("/bin/pwd").WithWorkingDirectory(_folder).RunAsync()).Stdout.Trim());
    }

    [Fact]
    public async Task Death_by_a_signal_is_128_and_its_number()
    {
        Assert.Equal(128 + 9, (await Shell("kill -9 $$").RunAsync()).ExitCode);
    }

    [Fact]
    public async Task After_the_deadline_the_whole_tree_is_gone()
    {
        var pids = Path.Combine(_folder, "pids");
        var error = await Assert.ThrowsAsync<SandboxException>(() =>
            Shell("trap '' TERM; sleep 600 & echo $! >> \"$1\"; echo $$ >> \"$1\"; wait; wait", pids)
                .WithDeadline(TimeSpan.FromSeconds(1), TimeSpan.FromMilliseconds(200)).RunAsync());
        Assert.Equal(SandboxErrorCode.CommandTimedOut, error.Code);
        Assert.NotEmpty(error.Advice);
        Assert.All(ReadIds(pids, 2), AssertGone);
    }

    [Fact]
    public async Task A_program_is_asked_before_it_is_killed_and_its_children_go_with_it()
    {
        var asked = Path.Combine(_folder, "asked");
        var pids = Path.Combine(_folder, "pids");
        var clock = Stopwatch.StartNew();
        await Assert.ThrowsAsync<SandboxException>(() =>
            Shell("trap 'echo yes > \"$1\"; exit 0' TERM; sleep 600 & echo $! >> \"$2\"; wait", asked, pids)
                .WithDeadline(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(30)).RunAsync());
        Assert.Equal("yes\n", await File.ReadAllTextAsync(asked));
        Assert.True(clock.Elapsed < TimeSpan.FromSeconds(15), "the grace period was waited for although the program had ended");
        Assert.All(ReadIds(pids, 1), AssertGone);
    }

    [Fact]
    public async Task Cancelling_ends_the_tree()
    {
        var pids = Path.Combine(_folder, "pids");
        using var cancelled = new CancellationTokenSource();
        var run = Shell("sleep 600 & echo $! >> \"$1\"; echo $$ >> \"$1\"; wait", pids).RunAsync(cancelled.Token);
        var ids = ReadIds(pids, 2);
        await cancelled.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => run);
        Assert.All(ids, AssertGone);
    }

    [Fact]
    public async Task A_process_left_behind_with_the_pipes_does_not_hold_the_result_back()
    {
        var clock = Stopwatch.StartNew();
        var result = await Shell("setsid sleep 600 & echo $!").RunAsync();
        var id = int.Parse(result.Stdout, CultureInfo.InvariantCulture);
        try
        {
            Assert.Equal(0, result.ExitCode);
            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(15));
        }
        finally
        {
            using var left = Process.GetProcessById(id);
            left.Kill();
        }
    }

    [Fact]
    public async Task A_program_that_is_not_there_is_told_by_name()
    {
        var error = await Assert.ThrowsAsync<SandboxException>(() => HostCommand.For("no-such-program-here").RunAsync());
        Assert.Equal(SandboxErrorCode.ToolMissing, error.Code);
        Assert.Contains("no-such-program-here", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Secrets_stand_in_no_text_and_no_exception()
    {
        const string secret = "s3cr3t-value";
        var command = Shell("sleep 600", secret).WithEnvironment("TOKEN", secret).WithStandardInput(Encoding.UTF8.GetBytes(secret))
            .WithDeadline(TimeSpan.FromMilliseconds(300), TimeSpan.Zero);
        Assert.DoesNotContain(secret, command.ToString(), StringComparison.Ordinal);
        var late = await Assert.ThrowsAsync<SandboxException>(() => command.RunAsync());
        Assert.DoesNotContain(secret, late.ToString(), StringComparison.Ordinal);
        var nowhere = await Assert.ThrowsAsync<SandboxException>(() => command.WithWorkingDirectory("/no/such/folder").RunAsync());
        Assert.Equal(SandboxErrorCode.PermissionDenied, nowhere.Code);
        Assert.DoesNotContain(secret, nowhere.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void A_description_does_not_change()
    {
        var first = HostCommand.For("env");
        var second = first.WithArguments("-i").WithEnvironment("A", "1");
        Assert.Empty(first.Arguments);
        Assert.Empty(first.Environment);
        Assert.Equal(["-i"], second.Arguments);
        Assert.Equal("1", second.Environment["A"]);
    }

    [Theory]
    [InlineData("./here")]
    [InlineData("some/where")]
    [InlineData("")]
    public void A_program_is_never_named_by_a_relative_path(string file)
    {
        Assert.ThrowsAny<ArgumentException>(() => HostCommand.For(file));
    }

    private static int[] ReadIds(string file, int count)
    {
        // The shell writes them before it waits; the wait here is for the file, not for a time.
        var clock = Stopwatch.StartNew();
        while (true)
        {
            var lines = File.Exists(file) ? File.ReadAllLines(file) : [];
            if (lines.Length >= count)
            {
                return Array.ConvertAll(lines, line => int.Parse(line, CultureInfo.InvariantCulture));
            }

            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(20), "the program did not say its process ids");
            Thread.Sleep(10);
        }
    }

    private static void AssertGone(int id)
    {
        // A killed process may stay as a zombie until its parent looks.
        var clock = Stopwatch.StartNew();
        while (true)
        {
            string state;
            try
            {
                var stat = File.ReadAllText($"/proc/{id.ToString(CultureInfo.InvariantCulture)}/stat");
                state = stat[(stat.LastIndexOf(')') + 2)..][..1];
            }
            catch (IOException)
            {
                return;
            }

            if (state is "Z" or "X")
            {
                return;
            }

            Assert.True(clock.Elapsed < TimeSpan.FromSeconds(20), $"process {id} still runs");
            Thread.Sleep(10);
        }
    }
}
