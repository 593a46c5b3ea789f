using System.Text.Json;
using DoSandbox.Cli.CommandLine;
using DoSandbox.Cli.Commands;
using DoSandbox.Cli.Output;
using DoSandbox.Errors;

namespace DoSandbox.UnitTests.Cli;

public sealed class CliUsageTests : IClassFixture<CliProgram>
{
    private readonly CliProgram _cli;

    public CliUsageTests(CliProgram cli)
    {
        _cli = cli;
    }

    [Theory]
    [InlineData("exec")]
    [InlineData("exec demo")]
    [InlineData("exec demo --timeot 3 ls")]
    [InlineData("exec demo --timeout soon ls")]
    [InlineData("exec demo --timeout 0 ls")]
    [InlineData("exec demo --timeout -1 ls")]
    [InlineData("exec demo --env DOSANDBOX_TEST_NOT_SET ls")]
    [InlineData("exec demo --env =value ls")]
    [InlineData("delete")]
    [InlineData("delete demo --all")]
    [InlineData("create --memory-mb -1")]
    [InlineData("create --cpu none")]
    [InlineData("create --network some")]
    [InlineData("create --backend nowhere")]
    [InlineData("create extra")]
    [InlineData("upload demo")]
    [InlineData("download demo")]
    [InlineData("nothing")]
    public async Task Wrong_usage_is_told_on_stderr_and_ends_with_2(string line)
    {
        var run = await _cli.RunAsync(line.Split(' '));
        Assert.Equal(2, run.ExitCode);
        Assert.Empty(run.StdoutBytes);
        var lines = run.Stderr.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(2, lines.Length);
        Assert.StartsWith("sandbox: ", lines[0], StringComparison.Ordinal);
        Assert.StartsWith("  ", lines[1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("exec demo ''")]
    [InlineData("exec demo '  '")]
    public async Task An_empty_command_is_refused_before_a_sandbox_is_looked_for(string line)
    {
        var run = await _cli.RunAsync(line.Split(' ', 3).Select(word => word.Trim('\'')).ToArray());
        Assert.Equal(2, run.ExitCode);
        Assert.Contains("empty", run.Stderr, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_secret_in_a_wrong_option_is_not_repeated()
    {
        var run = await _cli.RunAsync("exec", "demo", "--env", "=s3cr3t", "ls");
        Assert.Equal(2, run.ExitCode);
        Assert.DoesNotContain("s3cr3t", run.Stdout + run.Stderr, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("exec")]
    [InlineData("delete")]
    public async Task A_sandbox_that_is_not_there_ends_with_1_and_advice_in_the_words_of_this_command(string command)
    {
        var run = await _cli.RunAsync([command, "nowhere", .. command == "exec" ? ["true"] : Array.Empty<string>()]);
        Assert.Equal(1, run.ExitCode);
        Assert.StartsWith("sandbox: There is no sandbox 'nowhere'.\n  Run sandbox list", run.Stderr, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_name_cannot_steer_the_terminal()
    {
        var run = await _cli.RunAsync("exec", "\e]0;title\a\nname", "true");
        Assert.DoesNotContain('\e', run.Stderr);
        Assert.Equal(2, run.Stderr.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
    }

    [Theory]
    [InlineData("")]
    [InlineData("--help")]
    [InlineData("exec --help")]
    [InlineData("create -h")]
    [InlineData("upload -h")]
    [InlineData("download -h")]
    public async Task Help_goes_to_stdout_and_ends_with_0(string line)
    {
        var run = await _cli.RunAsync(line.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal(0, run.ExitCode);
        Assert.Empty(run.StderrBytes);
        Assert.Contains("Usage:", run.Stdout, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_version_is_that_of_the_module()
    {
        Assert.Matches(@"^\d+\.\d+\.\d+\n$", (await _cli.RunAsync("--version")).Stdout);
    }

    [Fact]
    public async Task An_argument_that_begins_with_an_at_sign_is_no_file_of_arguments()
    {
        var run = await _cli.RunAsync("delete", "@nowhere");
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("'@nowhere'", run.Stderr, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Backends_tell_what_is_usable_also_as_json()
    {
        var run = await _cli.RunAsync("backends", "--json");
        Assert.Equal(0, run.ExitCode);
        using var json = JsonDocument.Parse(run.StdoutBytes);
        var local = Assert.Single(json.RootElement.EnumerateArray(), backend => backend.GetProperty("name").GetString() == "Local");
        Assert.NotEmpty(local.GetProperty("reason").GetString()!);
        Assert.Contains(local.GetProperty("capabilities").EnumerateArray(), capability => capability.GetString() == "limits");
    }

    [Fact]
    public async Task A_program_without_a_backend_says_what_is_missing()
    {
        var run = await _cli.Command("create").WithEnvironment("PATH", "/nowhere").RunAsync();
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("bubblewrap", run.Stderr, StringComparison.OrdinalIgnoreCase);
        Assert.Equal(2, run.Stderr.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
    }

    [Theory]
    [InlineData("90", 90)]
    [InlineData("1.5", 1.5)]
    [InlineData("250ms", 0.25)]
    [InlineData("90s", 90)]
    [InlineData("10m", 600)]
    [InlineData("2h", 7200)]
    [InlineData("1d", 86400)]
    public void Durations(string text, double seconds) => Assert.Equal(TimeSpan.FromSeconds(seconds), Values.ParseDuration(text));

    [Theory]
    [InlineData("")]
    [InlineData("m")]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("1e3")]
    [InlineData("1,5")]
    [InlineData("1w")]
    [InlineData("NaN")]
    [InlineData("99999999999999999999")]
    public void No_durations(string text) => Assert.Null(Values.ParseDuration(text));

    [Theory]
    [InlineData("exec a ls -la", "exec a -- ls -la")]
    [InlineData("exec a --timeout 3 ls --timeout 5", "exec a --timeout 3 -- ls --timeout 5")]
    [InlineData("exec --timeout=3 -t5 a ls --id", "exec --timeout=3 -t5 a -- ls --id")]
    [InlineData("exec --id a -- -x", "exec --id a -- -x")]
    [InlineData("exec a", "exec a")]
    [InlineData("list --json", "list --json")]
    public void Everything_from_its_first_word_on_belongs_to_the_command(string given, string expected)
    {
        Assert.Equal(expected.Split(' '), ExecCommand.Separate(given.Split(' '), out var unknown));
        Assert.Null(unknown);
    }

    [Fact]
    public void One_word_is_a_command_line_and_several_are_words()
    {
        Assert.Equal("echo a | cat", ExecCommand.CommandLineOf(["echo a | cat"]));
        Assert.Equal("'echo' 'a | cat' 'it'\\''s'", ExecCommand.CommandLineOf(["echo", "a | cat", "it's"]));
    }

    [Fact]
    public void No_advice_speaks_of_cmdlets_here()
    {
        // These three belong to options and states that this command does not have.
        SandboxErrorCode[] others = [SandboxErrorCode.CommandFailed, SandboxErrorCode.OutputTooLarge, SandboxErrorCode.SandboxSuspended];
        foreach (var code in Enum.GetValues<SandboxErrorCode>().Except(others))
        {
            Assert.DoesNotMatch("[A-Z][a-z]+-Sandbox|(^| )-[A-Z]", CliAdvice.Translate(SandboxErrors.AdviceFor(code)));
        }
    }
}
