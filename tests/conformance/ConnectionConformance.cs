using System.Text;
using DoSandbox.Commands;
using DoSandbox.Connections;
using DoSandbox.Errors;

namespace DoSandbox.ConformanceTests;

/// <summary>What every connection must do, against a real shell. A derived class says how to connect, and what its protocol cannot do.</summary>
public abstract partial class ConnectionConformance : IAsyncLifetime
{
    private ISandboxConnection? _connection;

    /// <summary>False where the protocol carries lines of text: bytes that are no UTF-8 and a missing last line end are lost there.</summary>
    protected virtual bool OutputIsExact => true;

    /// <summary>False where the protocol takes $NAME in a path for a variable.</summary>
    protected virtual bool AnyFileName => true;

    /// <summary>A directory in the sandbox that is writable and has room.</summary>
    protected virtual string Scratch => "/tmp";

    protected ISandboxConnection Connection => _connection!;

    /// <summary>A directory in the sandbox of this test alone.</summary>
    protected string Home { get; private set; } = "";

    public virtual async Task InitializeAsync()
    {
        _connection = await ConnectAsync();
        Home = $"{Scratch}/conformance-{Guid.NewGuid():N}";
        await OkAsync($"mkdir {Home}");
    }

    public virtual async Task DisposeAsync()
    {
        if (_connection is not null)
        {
            await OkAsync($"chmod -R u+rwx {Home}; rm -rf {Home}");
            await _connection.DisposeAsync();
        }
    }

    protected abstract Task<ISandboxConnection> ConnectAsync();

    protected Task<CommandResult> RunAsync(string command, Stream? stdin = null, TimeSpan? timeout = null, CancellationToken cancellationToken = default) =>
        RunAsync(new CommandRequest(command) { Stdin = stdin, Timeout = timeout }, cancellationToken);

    protected async Task<CommandResult> RunAsync(CommandRequest request, CancellationToken cancellationToken = default) =>
        await Connection.RunToEndAsync(request, cancellationToken).WaitAsync(TimeSpan.FromMinutes(2), cancellationToken);

    /// <summary>Runs what must go well.</summary>
    protected async Task<string> OkAsync(string command)
    {
        var result = await RunAsync(command);
        Assert.True(result.Success, $"{command} ended with {result.ExitCode}: {result.Stderr}");
        return result.Stdout;
    }

    /// <summary>Waits for a condition, with a bound.</summary>
    protected static async Task EventuallyAsync(Func<Task<bool>> condition, string what)
    {
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(15));
        while (!await condition())
        {
            Assert.False(bound.IsCancellationRequested, what);
            await Task.Delay(20);
        }
    }

    /// <summary>How many processes of the sandbox carry the mark in their environment. A dead one has none.</summary>
    protected async Task<int> CountMarkedAsync(string mark) =>
        int.Parse(await OkAsync($"grep -lsa {mark} /proc/[0-9]*/environ | wc -l"), System.Globalization.CultureInfo.InvariantCulture);

    private async Task AssertGoneAsync(string mark) =>
        await EventuallyAsync(async () => await CountMarkedAsync(mark) == 0, "Processes of the command are still alive.");

    [Fact]
    public async Task It_answers() => await Connection.PingAsync(default);

    [Fact]
    public async Task Events_come_in_order()
    {
        var events = new List<string>();
        await foreach (var next in Connection.RunAsync(new CommandRequest("echo out; exit 3"), default))
        {
            events.Add(next is CommandOutputReceived output ? Encoding.UTF8.GetString(output.Data.Span) : next.GetType().Name);
        }

        Assert.Equal(["CommandStarted", "out\n", "CommandExited"], events);
    }

    [Fact]
    public async Task Every_byte_value_arrives()
    {
        var every = Enumerable.Range(0, 256).Select(value => (byte)value).ToArray();
        var result = await RunAsync("i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %03o $i)\"; i=$((i+1)); done");
        if (OutputIsExact)
        {
            Assert.Equal(every, result.StdoutBytes);
        }
        else
        {
            Assert.Contains("ABCDEFG", result.Stdout, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("printf ''", "")]
    [InlineData("printf a", "a")]
    [InlineData("printf 'a\\n'", "a\n")]
    [InlineData("printf 'a\\n\\nb\\n\\n\\nc\\n'", "a\n\nb\n\n\nc\n")]
    [InlineData("printf '\\n\\n'", "\n\n")]
    [InlineData("printf '  a  \\n\\tb'", "  a  \n\tb")]
    [InlineData("printf 'a\\r\\nb'", "a\r\nb")]
    [InlineData("printf 'a\\000b'", "a\0b")]
    [InlineData("printf 'äö€😀'", "äö€😀")]
    public async Task Text_arrives_as_it_was_written(string command, string text)
    {
        var result = await RunAsync(command);
        Assert.Equal(OutputIsExact || text.Length == 0 || text.EndsWith('\n') ? text : text.Replace("\r\n", "\n", StringComparison.Ordinal) + "\n", result.Stdout);
        Assert.Equal("", result.Stderr);
        Assert.Equal(0, result.ExitCode);
    }

    [Fact]
    public async Task Invalid_utf8_keeps_its_bytes()
    {
        var result = await RunAsync("printf '\\377\\376a\\303\\n'");
        if (OutputIsExact)
        {
            Assert.Equal([0xff, 0xfe, (byte)'a', 0xc3, (byte)'\n'], result.StdoutBytes);
        }

        Assert.Contains("\ufffda", result.Stdout, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_streams_are_kept_apart()
    {
        var result = await RunAsync("i=0; while [ $i -lt 300 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done");
        Assert.Equal(string.Concat(Enumerable.Range(0, 300).Select(i => $"out{i}\n")), result.Stdout);
        Assert.Equal(string.Concat(Enumerable.Range(0, 300).Select(i => $"err{i}\n")), result.Stderr);
    }

    [Fact]
    public async Task Ten_megabytes_arrive_whole()
    {
        var result = await RunAsync("seq 1 1300000");
        var expected = new StringBuilder();
        for (var i = 1; i <= 1_300_000; i++)
        {
            expected.Append(i).Append('\n');
        }

        Assert.True(string.Equals(expected.ToString(), result.Stdout, StringComparison.Ordinal), $"{result.StdoutBytes.Length} bytes differ from {expected.Length}.");
    }

    [Fact]
    public async Task Every_exit_code_is_passed_on()
    {
        await Parallel.ForEachAsync(Enumerable.Range(0, 256), new ParallelOptions { MaxDegreeOfParallelism = 8 }, async (code, token) =>
            Assert.Equal(code, (await RunAsync($"exit {code}", cancellationToken: token)).ExitCode));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(6)]
    [InlineData(9)]
    [InlineData(11)]
    [InlineData(13)]
    [InlineData(15)]
    public async Task Death_by_a_signal_is_told_as_shells_tell_it(int signal)
    {
        foreach (var stdin in new[] { null, new UnseekableStream(new MemoryStream(new byte[10])) })
        {
            var result = await RunAsync($"kill -{signal} $$", stdin);
            Assert.Equal(128 + signal, result.ExitCode);
            Assert.Equal(signal, result.Signal);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("  \n")]
    [InlineData("a\0b")]
    public void A_command_that_is_none_is_refused(string command) =>
        Assert.Equal(SandboxErrorCode.InvalidArgument, Assert.Throws<SandboxException>(() => new CommandRequest(command)).Code);

    [Fact]
    public async Task Environment_values_are_exact()
    {
        var environment = new Dictionary<string, string>
        {
            ["SPACES"] = "  a  b ", ["QUOTES"] = "'\"`$HOME\\'", ["LINES"] = "one\ntwo\n\n", ["LETTERS"] = "äö€😀", ["EMPTY"] = "", ["EQUALS"] = "a=b=c", ["PERCENT"] = "%s%n",
            ["LONG"] = new string('x', OutputIsExact ? 100_000 : 50_000),
        };
        foreach (var (name, value) in environment)
        {
            var result = await RunAsync(new CommandRequest($"printf '%s.' \"${name}\"; [ -n \"${{{name}+set}}\" ]; echo $?") { Environment = environment });
            Assert.Equal($"{value}.0\n", result.Stdout);
        }
    }

    [Fact]
    public async Task Commands_begin_in_their_directory()
    {
        await OkAsync($"mkdir {Home}/'a b'");
        var result = await RunAsync(new CommandRequest("pwd") { WorkingDirectory = $"{Home}/a b" });
        Assert.Equal($"{Home}/a b\n", result.Stdout);
    }

    [Fact]
    public async Task A_command_does_not_run_without_its_directory()
    {
        var refused = await Assert.ThrowsAsync<SandboxException>(() => RunAsync(new CommandRequest($"touch {Home}/ran") { WorkingDirectory = $"{Home}/missing" }));
        Assert.Equal(SandboxErrorCode.CommandNotStarted, refused.Code);
        Assert.NotEqual("", refused.Advice);
        Assert.Equal("no\n", await OkAsync($"[ -e {Home}/ran ] && echo yes || echo no"));
    }

    [Fact]
    public async Task Without_input_a_command_reads_the_end_at_once() => Assert.Equal("0\n", await OkAsync("cat | wc -c"));

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(100_000)]
    [InlineData(1024 * 1024)]
    [InlineData(1024 * 1024 + 1)]
    [InlineData(3_000_000)]
    public async Task Input_arrives_byte_for_byte(int length)
    {
        var input = new byte[length];
        new Random(length).NextBytes(input);
        var expected = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(input));
        Assert.Equal(expected, (await RunAsync("sha256sum", new MemoryStream(input))).Stdout[..64]);
        Assert.Equal(expected, (await RunAsync("sha256sum", new UnseekableStream(new MemoryStream(input)))).Stdout[..64]);
    }

    [Fact]
    public async Task Input_and_output_flow_at_the_same_time()
    {
        if (!OutputIsExact)
        {
            // Input is staged as a file there.
            return;
        }

        var input = new byte[5_000_000];
        new Random(7).NextBytes(input);
        var result = await RunAsync("cat", new UnseekableStream(new MemoryStream(input)));
        Assert.True(input.AsSpan().SequenceEqual(result.StdoutBytes));
    }

    [Fact]
    public async Task A_command_may_leave_its_input_unread()
    {
        Assert.Equal("x\n", (await RunAsync("echo x", new MemoryStream(new byte[900_000]))).Stdout);
        Assert.Equal("y\n", (await RunAsync("echo y", new UnseekableStream(new MemoryStream(new byte[4_000_000])))).Stdout);
    }

    [Fact]
    public async Task A_fault_of_the_input_is_told_and_ends_the_command()
    {
        var mark = Mark();
        var fault = await Assert.ThrowsAnyAsync<Exception>(() => RunAsync($"{mark}=1 sleep 1000 & wait; cat", new UnseekableStream(new FaultyStream())));
        Assert.Contains("broken input", fault.ToString(), StringComparison.Ordinal);
        await AssertGoneAsync(mark);
    }

    [Fact]
    public async Task A_timeout_ends_the_whole_tree()
    {
        var mark = Mark();
        var ended = await Assert.ThrowsAsync<CommandException>(() => RunAsync(
            $"export {mark}=1; echo before; sleep 1000 & setsid sleep 1000 & setsid setsid sh -c 'exec sleep 1000 <&- >&- 2>&-' & (trap '' TERM HUP; sleep 1000) & sleep 1000",
            timeout: TimeSpan.FromSeconds(1)));
        Assert.Equal(SandboxErrorCode.CommandTimedOut, ended.Code);
        Assert.Equal("before\n", ended.Result.Stdout);
        await AssertGoneAsync(mark);
    }

    [Fact]
    public async Task A_timeout_long_enough_changes_nothing() => Assert.Equal(5, (await RunAsync("exit 5", timeout: TimeSpan.FromMinutes(1))).ExitCode);

    [Fact]
    public async Task Leaving_early_ends_the_command()
    {
        var mark = Mark();
        var lines = 0;
        await foreach (var _ in Connection.StreamLinesAsync(new CommandRequest($"export {mark}=1; yes"), default))
        {
            if (++lines == 3)
            {
                break;
            }
        }

        Assert.Equal(3, lines);
        await AssertGoneAsync(mark);
    }

    [Fact]
    public async Task Cancelling_ends_the_command_within_three_seconds()
    {
        var mark = Mark();
        using var cancel = new CancellationTokenSource();
        var running = Connection.RunToEndAsync(new CommandRequest($"export {mark}=1; setsid sleep 1000 & sleep 1000"), cancel.Token);
        await EventuallyAsync(async () => await CountMarkedAsync(mark) >= 2, "The command did not start.");
        var began = Environment.TickCount64;
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
        Assert.InRange(Environment.TickCount64 - began, 0, 3000);
        await AssertGoneAsync(mark);
    }

    [Fact]
    public async Task Cancelling_at_any_moment_of_the_start_leaves_nothing()
    {
        var mark = Mark();
        for (var turn = 0; turn < 20; turn++)
        {
            using var cancel = new CancellationTokenSource(TimeSpan.FromMilliseconds(turn / 2.0));
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Connection.RunToEndAsync(new CommandRequest($"export {mark}=1; sleep 1000"), cancel.Token));
        }

        await AssertGoneAsync(mark);
    }

    [Fact]
    public async Task Thirty_two_commands_run_at_the_same_time()
    {
        // Each waits until all have begun.
        var results = await Task.WhenAll(Enumerable.Range(0, 32).Select(i =>
            RunAsync($"touch {Home}/{i}; while [ $(ls {Home} | wc -l) -lt 32 ]; do sleep 0.05; done; echo {i}")));
        Assert.Equal(Enumerable.Range(0, 32).Select(i => $"{i}\n"), results.Select(result => result.Stdout));
    }

    [Fact]
    public async Task A_slow_reader_slows_the_command_and_memory_stays_flat()
    {
        await using var events = Connection.RunAsync(new CommandRequest($"head -c 300000000 /dev/zero; touch {Home}/written"), default).GetAsyncEnumerator();
        while (await events.MoveNextAsync() && events.Current is not CommandOutputReceived)
        {
        }

        // Nothing more is read: the command must come to stand, long before its end.
        var memory = -1L;
        await EventuallyAsync(async () =>
        {
            var before = memory;
            memory = long.Parse((await OkAsync("grep VmRSS /proc/$PPID/status")).Split(' ', '\t', '\n').First(word => long.TryParse(word, out _)), System.Globalization.CultureInfo.InvariantCulture);
            return before == memory;
        }, "The agent's memory goes on growing.");
        Assert.InRange(memory, 0, 150_000);
        Assert.Equal("no\n", await OkAsync($"[ -e {Home}/written ] && echo yes || echo no"));

        long length = ((CommandOutputReceived)events.Current).Data.Length;
        CommandEvent? last = null;
        while (await events.MoveNextAsync())
        {
            last = events.Current;
            length += last is CommandOutputReceived output ? output.Data.Length : 0;
        }

        Assert.IsType<CommandExited>(last);
        // A protocol of lines adds their ends.
        Assert.InRange(length, 300_000_000, OutputIsExact ? 300_000_000 : 301_000_000);
    }

    [Fact]
    public async Task A_daemon_that_keeps_the_output_open_does_not_hold_up_the_exit()
    {
        var mark = Mark();
        var began = Environment.TickCount64;
        var result = await RunAsync($"export {mark}=1; sleep 30 & echo done");
        Assert.Equal("done\n", result.Stdout);
        Assert.InRange(Environment.TickCount64 - began, 0, 10_000);
        await RunAsync($"for p in $(grep -lsa {mark} /proc/[0-9]*/environ); do kill -9 $(echo $p | cut -d/ -f3); done");
    }

    [Fact]
    public async Task Output_beyond_the_bound_ends_the_command_and_is_kept_up_to_there()
    {
        var mark = Mark();
        var ended = await Assert.ThrowsAsync<CommandException>(() => Connection.RunToEndAsync(new CommandRequest($"export {mark}=1; yes"), default, maxOutput: 100_001));
        Assert.Equal(SandboxErrorCode.OutputTooLarge, ended.Code);
        Assert.Equal(100_001, ended.Result.StdoutBytes.Length);
        await AssertGoneAsync(mark);
    }

    [Fact]
    public async Task Lines_come_as_they_are_written_and_the_exit_comes_last()
    {
        await using var lines = Connection.StreamLinesAsync(new CommandRequest($"echo first; while [ ! -e {Home}/go ]; do sleep 0.02; done; printf 'last\\r\\n'; echo e >&2; exit 4"), default)
            .GetAsyncEnumerator();
        Assert.True(await lines.MoveNextAsync());
        Assert.Equal("first", Assert.IsType<CommandOutput>(lines.Current).Text);
        await OkAsync($"touch {Home}/go");
        var rest = new List<object>();
        while (await lines.MoveNextAsync())
        {
            rest.Add(lines.Current);
        }

        Assert.Equal(["e", "last"], rest.OfType<CommandOutput>().Select(line => line.Text).Order(StringComparer.Ordinal));
        Assert.Equal(4, Assert.IsType<CommandExited>(rest[^1]).ExitCode);
    }

    protected static string Mark() => $"DOSANDBOX_MARK_{Guid.NewGuid():N}";

    private sealed class FaultyStream : MemoryStream
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => throw new IOException("broken input");

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => throw new IOException("broken input");
    }

    /// <summary>A stream whose length nobody knows.</summary>
    protected sealed class UnseekableStream(Stream source) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(byte[] buffer, int offset, int count) => source.Read(buffer, offset, count);

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => source.ReadAsync(buffer, cancellationToken);

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
