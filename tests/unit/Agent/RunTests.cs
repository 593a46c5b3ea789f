using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using DoSandbox.Wire.Execd;
using DoSandbox.Wire.Run;

namespace DoSandbox.UnitTests.Agent;

public sealed class RunTests(AgentProgram agent) : IClassFixture<AgentProgram>
{
    [Fact]
    public async Task Ping_announces_the_extensions()
    {
        using var answer = await agent.Client.GetAsync("/ping");
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        Assert.Equal("", await answer.Content.ReadAsStringAsync());
        var announced = string.Join(", ", answer.Headers.GetValues(AgentExtensions.Header)).Split(", ");
        Assert.Superset(new HashSet<string> { AgentExtensions.Run, AgentExtensions.PtyInput, AgentExtensions.ExactPaths }, announced.ToHashSet());
    }

    [Fact]
    public async Task Every_byte_passes_both_ways_and_the_streams_stay_apart()
    {
        byte[] input = [.. Enumerable.Range(0, 256).Select(value => (byte)value), (byte)'\n', (byte)'\n'];
        var outcome = await agent.RunAsync("cat; printf 'no end' >&2", input);
        Assert.Equal(input, outcome.Output);
        Assert.Equal("no end"u8.ToArray(), outcome.Error);
        Assert.Equal(0, outcome.Exited!.ExitCode);
        Assert.Matches("^[0-9a-f]{32}$", outcome.Started!.Id);
    }

    [Fact]
    public async Task Frames_are_laid_out_as_the_contract_says()
    {
        using var socket = await agent.ConnectAsync();
        var json = """{"command":"printf ab; exit 7"}""";
        await socket.SendAsync((byte[])
        [
            .. Encoding.ASCII.GetBytes($"POST {AgentExtensions.RunRoute} HTTP/1.0\r\nContent-Length: {4 + json.Length}\r\n\r\n"),
            0, 0, 0, (byte)json.Length, .. Encoding.ASCII.GetBytes(json),
        ]);
        using var all = new MemoryStream();
        await using var stream = new NetworkStream(socket);
        await stream.CopyToAsync(all);
        var text = Encoding.Latin1.GetString(all.ToArray());
        var frames = Encoding.Latin1.GetBytes(text[(text.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..]);
        Assert.Equal(0x10, frames[0]);
        var next = 5 + frames[4];
        Assert.Equal(new byte[] { 1, 0, 0, 0, 2, (byte)'a', (byte)'b', 0x11, 0, 0, 0 }, frames[next..(next + 11)]);
        Assert.Equal(7, JsonSerializer.Deserialize(frames.AsSpan(next + 12), ExecdJson.Default.RunExited)!.ExitCode);
        Assert.Equal(next + 12 + frames[next + 11], frames.Length);
    }

    [Fact]
    public async Task Exit_codes_and_signals()
    {
        foreach (var code in (int[])[0, 1, 2, 127, 128, 255])
        {
            Assert.Equal(code, (await agent.RunAsync($"exit {code}")).Exited!.ExitCode);
        }

        var killed = (await agent.RunAsync("kill -9 $$")).Exited!;
        Assert.Equal((137, 9), (killed.ExitCode, killed.Signal));
        Assert.False(killed.TimedOut);
    }

    [Fact]
    public async Task Environment_directory_and_defaults()
    {
        var outcome = await agent.RunAsync(new RunRequest
        {
            Command = "printf '%s|%s|%s' \"$A\" \"$PWD\" \"$AGENT_TEST\"",
            Cwd = "/tmp/.",
            Envs = new() { ["A"] = "it's \"quoted\"\nand $more" },
        });
        Assert.Equal("it's \"quoted\"\nand $more|/tmp|yes", outcome.OutputText);
        Assert.Equal(agent.Folder, (await agent.RunAsync("printf %s \"$PWD\"")).OutputText);
    }

    [Fact]
    public async Task A_large_input_is_fed_while_the_command_reads()
    {
        var input = new byte[AgentExtensions.MaxStdin];
        Random.Shared.NextBytes(input);
        Assert.Equal(input, (await agent.RunAsync("head -c 10; sleep 0.05; cat", input)).Output);
        Assert.Equal(0, (await agent.RunAsync("head -c 10 >/dev/null", input)).Exited!.ExitCode);
    }

    [Fact]
    public async Task Without_input_there_is_nothing_to_read() =>
        Assert.Equal("/dev/null", (await agent.RunAsync("cat; printf %s \"$(readlink /proc/$$/fd/0)\"")).OutputText);

    [Fact]
    public async Task What_cannot_run_is_refused_before_anything_starts()
    {
        Assert.Equal(400, (await agent.RefusedRunAsync(new() { Command = " \n" })).Status);
        Assert.Equal(400, (await agent.RefusedRunAsync(new() { Command = "a\0b" })).Status);
        Assert.Equal(400, (await agent.RefusedRunAsync(new() { Command = "true", Timeout = 0 })).Status);
        Assert.Equal(400, (await agent.RefusedRunAsync(new() { Command = "true", Envs = new() { ["A=B"] = "" } })).Status);
        var (status, error) = await agent.RefusedRunAsync(new() { Command = "true", Cwd = "/does/not/exist" });
        Assert.Equal((400, "The working directory /does/not/exist does not exist."), (status, error.Message));
        (status, error) = await agent.RefusedRunAsync(new() { Command = "true", Cwd = "/etc/passwd" });
        Assert.Equal((400, "The working directory /etc/passwd is not a directory."), (status, error.Message));
        (status, error) = await agent.RefusedRunAsync(new() { Command = new string('x', 200_000) });
        Assert.Equal(400, status);
        Assert.Contains("128 KiB", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Malformed_requests_get_an_error_and_hurt_nothing()
    {
        foreach (var body in (byte[][])[[], [0, 0], [0, 0, 0, 9, 1], [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 2, (byte)'[', (byte)']'], [0, 0, 0, 4, .. "null"u8]])
        {
            using var answer = await agent.Client.PostAsync(AgentExtensions.RunRoute, new ByteArrayContent(body));
            Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        }

        using var missing = await agent.Client.GetAsync("/nothing/here");
        Assert.Equal(HttpStatusCode.NotFound, missing.StatusCode);
        Assert.Equal("ok", (await agent.RunAsync("printf ok")).OutputText);
    }

    [Fact]
    public async Task A_command_has_descriptors_0_to_2_only() =>
        Assert.Equal("0 1 2", (await agent.RunAsync("sleep 100 & while [ \"$(cat /proc/$!/comm)\" != sleep ]; do :; done; printf %s \"$(echo $(ls /proc/$!/fd))\"; kill $!")).OutputText);

    [Fact]
    public async Task Children_have_every_signal_at_its_default()
    {
        var status = (await agent.RunAsync("cat /proc/self/status")).OutputText.Split('\n');
        Assert.Contains("SigIgn:\t0000000000000000", status);
        Assert.Contains("SigBlk:\t0000000000000000", status);
        Assert.Equal("141", (await agent.RunAsync("yes | head -n 1 >/dev/null; printf %s ${PIPESTATUS[0]}")).OutputText);
    }

    [Fact]
    public async Task A_background_child_neither_delays_the_end_nor_dies_of_it()
    {
        var mark = Path.Combine(agent.Folder, "daemon");
        var outcome = await agent.RunAsync($"mkfifo {mark}.fifo; (read x < {mark}.fifo; echo late; echo done > {mark}) & echo early");
        Assert.Equal("early\n", outcome.OutputText);

        // It still has the pipe and writes into it after the end: not even a broken pipe may stop it.
        await agent.RunAsync($"echo go > {mark}.fifo");
        await Eventually.TrueAsync(() => File.Exists(mark), "the daemon goes on");
        await Eventually.TrueAsync(async () => await agent.GetAsync($"/command/{outcome.Started!.Id}/logs") == "late\n", "its late output is in the log");
    }

    [Fact]
    public async Task A_child_that_writes_without_end_does_not_hold_up_the_end()
    {
        var outcome = await agent.RunAsync("yes & echo $!; head -c 100000 /dev/zero >&2");
        Assert.Equal(100_000, outcome.Error.Length);
        await agent.RunAsync($"kill {outcome.OutputText.Split('\n').First(line => line != "y")}");
    }

    [Fact]
    public async Task A_time_out_takes_the_whole_tree_however_it_hides()
    {
        const string Escapes = """
            setsid setsid sleep 987601 </dev/null >/dev/null 2>&1 &
            env -i setsid sh -c 'setsid sleep 987601 & exit' </dev/null >/dev/null 2>&1
            sh -c 'trap "" TERM HUP INT; exec sleep 987601' &
            while [ $(pgrep -cf '^sleep 987601') -lt 3 ]; do sleep 0.01; done
            echo ready; sleep 987601
            """;
        var outcome = await agent.RunAsync(new RunRequest { Command = Escapes, Timeout = 1500 });
        Assert.Equal("ready\n", outcome.OutputText);
        Assert.True(outcome.Exited!.TimedOut);
        Assert.Equal(137, outcome.Exited.ExitCode);
        Assert.Equal(0, Eventually.CountProcesses("sleep 987601"));
    }

    [Fact]
    public async Task An_interrupt_ends_the_tree_gently_and_then_for_sure()
    {
        using var answer = await agent.StartRunAsync(new() { Command = "trap 'echo bye; exit 3' TERM; sh -c 'trap \"\" TERM; while :; do sleep 987602; done' & echo up; wait" });
        await using var stream = await answer.Content.ReadAsStreamAsync();
        var outcome = new RunOutcome();
        while (!outcome.OutputText.Contains("up", StringComparison.Ordinal))
        {
            var frame = (await FrameReader.ReadAsync(stream))!.Value;
            outcome.Add(frame.Type, frame.Payload);
        }

        await Eventually.TrueAsync(() => Eventually.CountProcesses("sleep 987602") > 1, "the stubborn child runs");
        Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, $"/command?id={outcome.Started!.Id}")).Status);
        Assert.Equal(0, Eventually.CountProcesses("sleep 987602"));
        while (await FrameReader.ReadAsync(stream) is { } frame)
        {
            outcome.Add(frame.Type, frame.Payload);
        }

        Assert.Equal((3, "up\nbye\n"), (outcome.Exited!.ExitCode, outcome.OutputText));
        Assert.Equal(500, (await agent.SendAsync(HttpMethod.Delete, $"/command?id={outcome.Started.Id}")).Status);
    }

    [Fact]
    public async Task A_hundred_megabytes_arrive_whole()
    {
        using var answer = await agent.StartRunAsync(new() { Command = "head -c 104857600 /dev/zero" });
        await using var stream = await answer.Content.ReadAsStreamAsync();
        long total = 0;
        RunFrameType last = default;
        while (await FrameReader.ReadAsync(stream) is { } frame)
        {
            total += frame.Type == RunFrameType.Stdout ? frame.Payload.Length : 0;
            last = frame.Type;
        }

        Assert.Equal((104857600, RunFrameType.Exited), (total, last));
    }

    [Fact]
    public async Task A_slow_reader_slows_the_writer_and_memory_stays_flat()
    {
        await agent.RunAsync("true");
        using var own = new AgentProgram();
        await own.RunAsync("head -c 1000000 /dev/zero");
        var before = own.ResidentBytes;
        using var answer = await own.StartRunAsync(new() { Command = "exec cat /dev/zero" });
        await using var stream = await answer.Content.ReadAsStreamAsync();
        var started = JsonSerializer.Deserialize((await FrameReader.ReadAsync(stream))!.Value.Payload, ExecdJson.Default.RunStarted)!;
        var written = -1L;
        await Eventually.TrueAsync(
            async () =>
            {
                var last = written;
                written = Written();
                await Task.Delay(200);
                return last == written && written > 0;
            },
            "the writer stands still");
        Assert.InRange(written, 1, 32L * 1024 * 1024);
        for (var i = 0; i < 200; i++)
        {
            await FrameReader.ReadAsync(stream);
        }

        await Eventually.TrueAsync(() => Written() > written, "the writer goes on when it is read");
        Assert.InRange(own.ResidentBytes - before, long.MinValue, 16L * 1024 * 1024);
        await own.SendAsync(HttpMethod.Delete, $"/command?id={started.Id}");

        long Written() => long.Parse(File.ReadLines($"/proc/{started.Pid}/io").Single(line => line.StartsWith("wchar:", StringComparison.Ordinal)).AsSpan(7), provider: null);
    }

    [Fact]
    public async Task A_command_whose_client_leaves_goes_on_into_its_log()
    {
        var gate = Path.Combine(agent.Folder, "gate");
        await agent.RunAsync($"mkfifo {gate}");
        RunStarted started;
        using (var answer = await agent.StartRunAsync(new() { Command = $"echo first; read x < {gate}; seq 1 1000; echo end >&2; exit 5" }))
        {
            await using var stream = await answer.Content.ReadAsStreamAsync();
            started = JsonSerializer.Deserialize((await FrameReader.ReadAsync(stream))!.Value.Payload, ExecdJson.Default.RunStarted)!;
            Assert.Equal("first\n"u8.ToArray(), (await FrameReader.ReadAsync(stream))!.Value.Payload);
            Assert.Equal(400, (await agent.SendAsync(HttpMethod.Get, $"/command/{started.Id}/logs")).Status);
        }

        await Eventually.TrueAsync(async () => (await agent.SendAsync(HttpMethod.Get, $"/command/{started.Id}/logs")).Status == 200, "the agent notices");
        await agent.RunAsync($"echo go > {gate}");
        await Eventually.TrueAsync(async () => (await Status()).Running is false, "the command ends");
        Assert.Equal(5, (await Status()).ExitCode);
        Assert.Equal(string.Concat(Enumerable.Range(1, 1000).Select(n => n + "\n")) + "end\n", await agent.GetAsync($"/command/{started.Id}/logs"));

        async Task<CommandStatus> Status() =>
            JsonSerializer.Deserialize(await agent.GetAsync($"/command/status/{started.Id}"), ExecdJson.Default.CommandStatus)!;
    }

    [Fact]
    public async Task Fifty_at_once()
    {
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 50).Select(n => agent.RunAsync($"sleep 0.01; printf {n}")));
        Assert.Equal(Enumerable.Range(0, 50).Select(n => $"{n}"), outcomes.Select(outcome => outcome.OutputText));
    }

    [Fact]
    public async Task Silence_is_broken_by_heartbeats()
    {
        using var answer = await agent.StartRunAsync(new() { Command = "sleep 987603" });
        await using var stream = await answer.Content.ReadAsStreamAsync();
        var started = (await FrameReader.ReadAsync(stream))!.Value;
        Assert.Equal(RunFrameType.Heartbeat, (await FrameReader.ReadAsync(stream))!.Value.Type);
        await agent.SendAsync(HttpMethod.Delete, $"/command?id={JsonSerializer.Deserialize(started.Payload, ExecdJson.Default.RunStarted)!.Id}");
    }
}
