using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using DoSandbox.Wire.Execd;

namespace DoSandbox.UnitTests.Agent;

public sealed class PtyTests(AgentProgram agent) : IClassFixture<AgentProgram>
{
    [Fact]
    public async Task A_pipe_session_carries_both_ways_until_the_end_of_input()
    {
        using var client = await AttachAsync(await CreateAsync(new() { Command = "cat; echo \"$V\" >&2; exit 6", Envs = new() { ["V"] = "val" }, Cwd = "/tmp" }));
        var input = new byte[300_000];
        Random.Shared.NextBytes(input);
        var sending = Task.Run(async () =>
        {
            for (var i = 0; i < input.Length; i += 100_000)
            {
                await client.SendAsync([PtyFrames.Stdin, .. input[i..(i + 100_000)]], binary: true);
            }

            await client.SendAsync([PtyFrames.EndOfInput], binary: true);
        });
        await client.ReadToEndAsync();
        await sending;
        Assert.Equal(input, client.Output.ToArray());
        Assert.Equal("val\n"u8.ToArray(), client.Error.ToArray());
        Assert.Equal("pipe", client.Messages[0].Mode);
        Assert.Equal((6, false), (client.Messages[^1].ExitCode, client.Messages[^1].TimedOut));
    }

    [Fact]
    public async Task Without_a_command_it_is_a_shell()
    {
        using var client = await AttachAsync(await CreateAsync(new()));
        await client.SendAsync("""{"type":"stdin","data":"echo $((6*7))\nexit 3\n"}"""u8.ToArray(), binary: false);
        await client.ReadToEndAsync();
        Assert.Equal("42\n"u8.ToArray(), client.Output.ToArray());
        Assert.Equal(3, client.Messages[^1].ExitCode);
    }

    [Fact]
    public async Task Signals_pings_and_nonsense()
    {
        using var client = await AttachAsync(await CreateAsync(new() { Command = "trap 'exit 9' INT; echo up; while :; do sleep 0.01; done" }));
        await client.ReadUntilAsync(() => client.Output.Length > 0);
        await client.SendAsync("""{"type":"ping"}"""u8.ToArray(), binary: false);
        await client.SendAsync("""{"type":"dance"}"""u8.ToArray(), binary: false);
        await client.SendAsync("not json"u8.ToArray(), binary: false);
        await client.SendAsync("""{"type":"signal","signal":"SIGINT"}"""u8.ToArray(), binary: false);
        await client.ReadToEndAsync();
        Assert.Equal(["connected", "pong", "error", "exit"], client.Messages.Select(message => message.Type!));
        Assert.Equal(9, client.Messages[^1].ExitCode);
    }

    [Fact]
    public async Task A_time_out_is_told()
    {
        using var client = await AttachAsync(await CreateAsync(new() { Command = "sleep 987621", Timeout = 100 }));
        await client.ReadToEndAsync();
        Assert.Equal((137, true), (client.Messages[^1].ExitCode, client.Messages[^1].TimedOut));
    }

    [Fact]
    public async Task Input_for_a_command_that_does_not_read_waits_and_then_is_dropped()
    {
        using var client = await AttachAsync(await CreateAsync(new() { Command = "exec 0</dev/null; echo closed; sleep 0.3" }));
        await client.ReadUntilAsync(() => client.Output.Length > 0);
        await client.SendAsync([PtyFrames.Stdin, .. new byte[200_000]], binary: true);
        await client.ReadToEndAsync();
        Assert.Equal(0, client.Messages[^1].ExitCode);
    }

    [Fact]
    public async Task Input_that_nobody_reads_costs_no_client_the_end()
    {
        for (var round = 0; round < 40; round++)
        {
            using var client = await AttachAsync(await CreateAsync(new() { Command = "head -c 3", Timeout = 20_000 }));
            var sending = SendUntilClosedAsync(client);
            await client.ReadToEndAsync();
            await sending;
            Assert.Equal(3, client.Output.Length);
            Assert.Equal((0, false), (client.Messages[^1].ExitCode, client.Messages[^1].TimedOut));
        }
    }

    [Fact]
    public async Task Input_that_a_descendant_holds_unread_costs_no_client_the_end()
    {
        var id = await CreateAsync(new() { Command = "sleep 987623 <&0 & echo up; read line; exit 5" });
        using var client = await AttachAsync(id);
        await client.ReadUntilAsync(() => client.Output.Length > 0);
        var sending = SendUntilClosedAsync(client);
        await client.ReadToEndAsync();
        await sending;
        Assert.Equal(5, client.Messages[^1].ExitCode);
        await agent.SendAsync(HttpMethod.Delete, $"/pty/{id}");
        Assert.Equal(0, Eventually.CountProcesses("sleep 987623"));
    }

    [Fact]
    public async Task A_client_that_breaks_the_protocol_while_it_gets_output_does_not_hold_up_the_command()
    {
        for (var round = 0; round < 10; round++)
        {
            var file = Path.Combine(agent.Folder, $"whole{round}");
            using (var client = await AttachAsync(await CreateAsync(new() { Command = $"head -c 20000000 /dev/zero; touch {file}" })))
            {
                await client.ReadUntilAsync(() => client.Output.Length > 100_000);

                // No frame: the agent's websocket closes while its output is under way.
                await client.SendRawAsync([0xFF, 0x80, 0, 0, 0, 0]);
                await Assert.ThrowsAnyAsync<Exception>(client.ReadToEndAsync);
            }

            await Eventually.TrueAsync(() => File.Exists(file), "the command gets to its end");
        }
    }

    [BubblewrapFact]
    public async Task A_process_with_the_id_of_a_command_that_ended_is_not_taken_for_it()
    {
        using var other = new AgentProgram([], [.. Wrappers.PidOne, "--cap-add", "ALL"]);
        var (_, body) = await other.SendAsync(HttpMethod.Post, "/pty", """{"command":"echo $$"}""");
        var id = JsonSerializer.Deserialize(body, ExecdJson.Default.PtySession)!.SessionId;
        using var client = await AttachAsync(id, other);
        await client.ReadToEndAsync();
        var pid = Encoding.ASCII.GetString(client.Output.ToArray()).Trim();
        var file = Path.Combine(other.Folder, "enough");

        // clone3 with the number that the child shall have.
        var reuse = other.RunAsync($$"""
            exec perl -e 'my $pid = pack("i", {{pid}});
            my $child = syscall(435, pack("Q11", 0, 0, 0, 0, 17, 0, 0, 0, unpack("Q", pack("P", $pid)), 1, 0), 88);
            if ($child == 0) { print "got $$\n" if open(my $up, ">", "{{file}}.up"); while (! -e "{{file}}") { select(undef, undef, undef, 0.02) } exit 0 }
            wait; print "child $?\n"'
            """);
        await Eventually.TrueAsync(() => File.Exists(file + ".up") || reuse.IsCompleted, "the process is there");
        Assert.Equal(200, (await other.SendAsync(HttpMethod.Delete, $"/pty/{id}")).Status);
        await File.WriteAllTextAsync(file, "");
        Assert.Equal($"got {pid}\nchild 0\n", (await reuse).OutputText);
    }

    [Fact]
    public async Task It_outlives_its_client_and_ends_with_its_deletion()
    {
        var id = await CreateAsync(new() { Command = "echo first; read go; echo second; sleep 987622" });
        using (var client = await AttachAsync(id))
        {
            await client.ReadUntilAsync(() => client.Output.Length > 0);
            await client.SendAsync([PtyFrames.Stdin, (byte)'\n'], binary: true);
            client.Drop();
        }

        await Eventually.TrueAsync(() => Eventually.CountProcesses("sleep 987622") > 0, "the command goes on");
        var session = JsonSerializer.Deserialize(await agent.GetAsync($"/pty/{id}"), ExecdJson.Default.PtySession)!;
        Assert.True(session.Running);
        Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, $"/pty/{id}")).Status);
        Assert.Equal(0, Eventually.CountProcesses("sleep 987622"));
        Assert.Equal(404, (await agent.SendAsync(HttpMethod.Get, $"/pty/{id}")).Status);
    }

    [Fact]
    public async Task Refusals()
    {
        Assert.Equal(404, (await agent.SendAsync(HttpMethod.Get, "/pty/nope")).Status);
        Assert.Equal(404, (await agent.SendAsync(HttpMethod.Delete, "/pty/nope")).Status);
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Post, "/pty", """{"cwd":"/nope"}""")).Status);
        var id = await CreateAsync(new() { Command = "cat" });
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Get, $"/pty/{id}/ws")).Status);
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Get, $"/pty/{id}/ws?since=-1")).Status);
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Get, $"/pty/{id}/ws?cols=0&rows=24")).Status);
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Get, $"/pty/{id}/ws?pty=0")).Status);
        using var client = await AttachAsync(id);
        await client.ReadUntilAsync(() => client.Messages.Count > 0);
        Assert.Equal(409, (await agent.SendAsync(HttpMethod.Get, $"/pty/{id}/ws?pty=0")).Status);
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Get, $"/pty/{id}/ws?pty=0&takeover=1")).Status);
        await client.SendAsync([PtyFrames.Stdin, .. "still mine\n"u8], binary: true);
        await client.ReadUntilAsync(() => client.Output.Length == 11);
        Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, $"/pty/{id}")).Status);
    }

    [Fact]
    public async Task A_terminal_is_a_real_one()
    {
        using var client = await AttachAsync(await CreateAsync(new()
        {
            Command = "tty; test -t 0 && test -t 1 && test -t 2 && echo all; echo \"$TERM\"; stty size; echo to-tty >/dev/tty; ps -o tty= -o pid= -o sid= -p $$; exit 5",
        }), "");
        await client.ReadToEndAsync();
        var lines = client.Text.Split("\r\n");
        Assert.Equal("pty", client.Messages[0].Mode);
        Assert.Matches("^/dev/pts/[0-9]+$", lines[0]);
        Assert.Equal(["all", "xterm-256color", "24 80", "to-tty"], lines[1..5]);
        var ids = lines[5].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal((lines[0]["/dev/".Length..], ids[1]), (ids[0], ids[2]));
        Assert.Equal(5, client.Messages[^1].ExitCode);
    }

    [Fact]
    public async Task A_shell_in_a_terminal_obeys_keys_and_the_size()
    {
        using var client = await AttachAsync(await CreateAsync(new() { Command = "exec sh -i", Envs = new() { ["TERM"] = "dumb" } }), "cols=100&rows=30");
        await AtPromptAsync("stty size; echo $TERM\r", "30 100\r\ndumb\r\n");
        await client.SendAsync("""{"type":"resize","cols":132,"rows":43}"""u8.ToArray(), binary: false);
        await AtPromptAsync("stty size\r", "43 132\r\n");
        await AtPromptAsync("sh -c 'trap \"stty size; exit\" WINCH; echo rea\"\"dy; while :; do sleep 0.01; done'\r", "ready");
        await client.SendAsync("""{"type":"resize","cols":81,"rows":25}"""u8.ToArray(), binary: false);
        await client.ReadUntilAsync(() => client.Text.Contains("25 81\r\n", StringComparison.Ordinal));
        await AtPromptAsync("sleep 987630\r", "sleep 987630\r\n");
        await Eventually.TrueAsync(() => Eventually.CountProcesses("sleep 987630") > 0, "it runs");
        await client.TypeAsync("\x03");
        await AtPromptAsync("echo after $?\r", "after 130");
        await client.SendAsync("""{"type":"resize","cols":0,"rows":43}"""u8.ToArray(), binary: false);
        await AtPromptAsync("\x04", null);
        await client.ReadToEndAsync();
        Assert.Equal(["connected", "error", "exit"], client.Messages.Select(message => message.Type!));

        // What is typed earlier, a key or the shell itself may throw away.
        async Task AtPromptAsync(string keys, string? expected)
        {
            await client.ReadUntilAsync(() => client.Text.EndsWith("# ", StringComparison.Ordinal) || client.Text.EndsWith("$ ", StringComparison.Ordinal));
            await client.TypeAsync(keys);
            if (expected is not null)
            {
                await client.ReadUntilAsync(() => client.Text.Contains(expected, StringComparison.Ordinal));
            }
        }
    }

    [Fact]
    public async Task A_signal_hits_what_is_in_front()
    {
        using var client = await AttachAsync(await CreateAsync(new() { Envs = new() { ["PS1"] = "$ " } }), "pty=1");
        await client.TypeAsync("bash -c 'trap \"echo caught; exit 3\" USR1; echo u\"p\"; while :; do sleep 0.01; done'; echo code $?\r");
        await client.ReadUntilAsync(() => client.Text.Contains("up\r\n", StringComparison.Ordinal));
        await client.SendAsync("""{"type":"signal","signal":"USR1"}"""u8.ToArray(), binary: false);
        await client.ReadUntilAsync(() => client.Text.Contains("code 3", StringComparison.Ordinal));
        Assert.Contains("caught", client.Text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("pty=1")]
    [InlineData("pty=0")]
    public async Task Another_client_goes_on_where_the_last_left_off(string mode)
    {
        var id = await CreateAsync(new() { Command = "stty -echo 2>/dev/null; echo one; read a; echo two; read b; echo three; exit 4" });
        long offset;
        using (var first = await AttachAsync(id, mode))
        {
            await first.ReadUntilAsync(() => first.Text.Contains("one", StringComparison.Ordinal));
            await first.TypeAsync("x\n");
            await first.ReadUntilAsync(() => first.Text.Contains("two", StringComparison.Ordinal) && first.Text.EndsWith('\n'));
            offset = first.Output.Length;
            Assert.Equal(offset, (await DescribeAsync(id)).OutputOffset);
            first.Drop();
        }

        using var second = await AttachWhenFreeAsync(id, "since=0");
        await second.TypeAsync("y\n");
        await second.ReadToEndAsync();
        Assert.Equal(0, second.ReplayedFrom);
        Assert.StartsWith("one", second.Text, StringComparison.Ordinal);
        Assert.EndsWith("three", second.Text.TrimEnd(), StringComparison.Ordinal);

        // Over, and still told to whoever asks.
        using var third = await AttachWhenFreeAsync(id, $"since={offset}");
        await third.ReadToEndAsync();
        Assert.Equal(offset, third.ReplayedFrom);
        Assert.Equal(second.Text[(int)offset..], third.Text);
        Assert.Equal(4, third.Messages[^1].ExitCode);
        Assert.False((await DescribeAsync(id)).Running);
    }

    [Fact]
    public async Task Without_a_client_it_runs_on_and_the_oldest_output_is_dropped()
    {
        var id = await CreateAsync(new() { Command = "echo up; read go; seq 1 400000; echo done; read end" });
        using (var first = await AttachAsync(id))
        {
            await first.ReadUntilAsync(() => first.Output.Length > 0);
            await first.TypeAsync("\n");
            first.Drop();
        }

        var all = "up\n" + string.Concat(Enumerable.Range(1, 400_000).Select(number => $"{number}\n")) + "done\n";
        await Eventually.TrueAsync(async () => (await DescribeAsync(id)).OutputOffset == all.Length, "all output was taken");
        using var second = await AttachWhenFreeAsync(id, "since=3");
        await second.ReadUntilAsync(() => second.Text.EndsWith("done\n", StringComparison.Ordinal));
        Assert.Equal(all.Length - 1024 * 1024, second.ReplayedFrom);
        Assert.Equal(all[^(1024 * 1024)..], second.Text);
        Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, $"/pty/{id}")).Status);
    }

    [Theory]
    [InlineData("pty=1")]
    [InlineData("pty=0")]
    public async Task A_session_can_be_taken_over_without_losing_a_byte(string mode)
    {
        var id = await CreateAsync(new() { Command = "stty -echo 2>/dev/null; echo up; cat" });
        using var first = await AttachAsync(id, mode);
        await first.ReadUntilAsync(() => first.Text.Contains("up", StringComparison.Ordinal) && first.Text.EndsWith('\n'));
        var seen = first.Output.Length;
        using var second = await AttachAsync(id, $"{mode}&takeover=1&since={seen}");
        await second.TypeAsync("mine\n");
        await second.ReadUntilAsync(() => second.Text.Contains("mine", StringComparison.Ordinal));
        Assert.Null(second.ReplayedFrom);
        await first.ReadToEndAsync();
        Assert.Equal((4001, "TAKEN_OVER"), first.Closed);
        Assert.Equal(409, (await agent.SendAsync(HttpMethod.Get, $"/pty/{id}/ws")).Status);
        Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, $"/pty/{id}")).Status);
    }

    [Fact]
    public async Task A_client_that_does_not_read_slows_the_command_and_can_be_displaced()
    {
        var id = await CreateAsync(new() { Command = "yes" });
        using var first = await AttachAsync(id, "pty=1");
        long last = -1;
        await Eventually.TrueAsync(async () =>
        {
            var before = last;
            last = (await DescribeAsync(id)).OutputOffset!.Value;
            await Task.Delay(200);
            return last > 0 && last == before;
        }, "the output stops");
        Assert.True(agent.ResidentBytes < 200 * 1024 * 1024);
        using var second = await AttachAsync(id, "takeover=1");
        await second.ReadUntilAsync(() => second.Output.Length > 2 * 1024 * 1024);
        Assert.Equal((200, ""), await agent.SendAsync(HttpMethod.Delete, $"/pty/{id}"));
    }

    [Fact]
    public async Task Deleting_a_terminal_ends_its_whole_tree_at_once()
    {
        var id = await CreateAsync(new());
        using var client = await AttachAsync(id, "pty=1");
        await client.TypeAsync("setsid sleep 987631 & sleep 987632\r");
        await Eventually.TrueAsync(() => Eventually.CountProcesses("sleep 987631") > 0 && Eventually.CountProcesses("sleep 987632") > 0, "both run");
        var time = System.Diagnostics.Stopwatch.StartNew();
        Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, $"/pty/{id}")).Status);
        Assert.True(time.Elapsed < TimeSpan.FromSeconds(2.5), $"It took {time.Elapsed}.");
        Assert.Equal(0, Eventually.CountProcesses("sleep 98763"));
        await client.ReadToEndAsync();
        Assert.Equal("exit", client.Messages[^1].Type);
    }

    [Fact]
    public async Task Sessions_are_bounded()
    {
        var ids = new List<string>();
        while (ids.Count < 300)
        {
            var (status, body) = await agent.SendAsync(HttpMethod.Post, "/pty", "{}");
            if (status != 201)
            {
                Assert.Equal(500, status);
                break;
            }

            ids.Add(JsonSerializer.Deserialize(body, ExecdJson.Default.PtySession)!.SessionId);
        }

        foreach (var id in ids)
        {
            await agent.SendAsync(HttpMethod.Delete, $"/pty/{id}");
        }

        Assert.InRange(ids.Count, 200, 256);
    }

    private async Task<PtySession> DescribeAsync(string id) =>
        JsonSerializer.Deserialize(await agent.GetAsync($"/pty/{id}"), ExecdJson.Default.PtySession)!;

    /// <summary>The agent learns of a dropped client only a moment later.</summary>
    private async Task<PtyClient> AttachWhenFreeAsync(string id, string query)
    {
        PtyClient? client = null;
        await Eventually.TrueAsync(async () =>
        {
            try
            {
                client = await AttachAsync(id, query);
                return true;
            }
            catch (WebSocketException)
            {
                return false;
            }
        }, "the session is free");
        return client!;
    }

    private async Task<string> CreateAsync(PtyStart start)
    {
        var (status, body) = await agent.SendAsync(HttpMethod.Post, "/pty", JsonSerializer.Serialize(start, ExecdJson.Default.PtyStart));
        Assert.Equal(201, status);
        return JsonSerializer.Deserialize(body, ExecdJson.Default.PtySession)!.SessionId;
    }

    /// <summary>Sends 4 MB of lines, or less when the session ends before.</summary>
    private static async Task SendUntilClosedAsync(PtyClient client)
    {
        var frame = new byte[64 * 1024];
        Array.Fill(frame, (byte)'\n');
        frame[0] = PtyFrames.Stdin;
        try
        {
            for (var i = 0; i < 64; i++)
            {
                await client.SendAsync(frame, binary: true);
            }
        }
        catch (Exception e) when (e is WebSocketException or InvalidOperationException or OperationCanceledException)
        {
            // The session closed while this was under way.
        }
    }

    private Task<PtyClient> AttachAsync(string id, string query = "pty=0") => AttachAsync(id, agent, query);

    private static async Task<PtyClient> AttachAsync(string id, AgentProgram agent, string query = "pty=0")
    {
        var socket = new ClientWebSocket();
        System.Net.Sockets.Socket? raw = null;
        await socket.ConnectAsync(new Uri($"ws://agent/pty/{id}/ws?{query}"), new HttpMessageInvoker(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancellation) => new System.Net.Sockets.NetworkStream(raw = await agent.ConnectAsync(cancellation), ownsSocket: true),
        }), CancellationToken.None);
        return new PtyClient(socket, raw!);
    }

    private sealed class PtyClient(ClientWebSocket socket, System.Net.Sockets.Socket raw) : IDisposable
    {
        public MemoryStream Output { get; } = new();

        public MemoryStream Error { get; } = new();

        public List<PtyMessage> Messages { get; } = [];

        public string Text => Encoding.UTF8.GetString(Output.GetBuffer(), 0, (int)Output.Length);

        /// <summary>The offset of the first replayed byte.</summary>
        public long? ReplayedFrom { get; private set; }

        public (int, string?) Closed { get; private set; }

        public Task TypeAsync(string text) => SendAsync([PtyFrames.Stdin, .. Encoding.UTF8.GetBytes(text)], binary: true);

        public Task SendAsync(byte[] data, bool binary) =>
            socket.SendAsync(data, binary ? WebSocketMessageType.Binary : WebSocketMessageType.Text, true, CancellationToken.None);

        public Task SendRawAsync(byte[] data) => raw.SendAsync(data);

        public Task ReadToEndAsync() => ReadUntilAsync(() => false);

        public async Task ReadUntilAsync(Func<bool> enough)
        {
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
            await using var report = limit.Token.Register(() => Console.WriteLine($"Waited in vain; so far: {Text}"));
            var buffer = new byte[64 * 1024];
            while (!enough())
            {
                using var frame = new MemoryStream();
                WebSocketReceiveResult received;
                do
                {
                    received = await socket.ReceiveAsync(buffer, limit.Token);
                    frame.Write(buffer, 0, received.Count);
                }
                while (!received.EndOfMessage);
                if (received.MessageType == WebSocketMessageType.Close)
                {
                    Closed = ((int)received.CloseStatus!, received.CloseStatusDescription);
                    Assert.True(Closed is (1000, "process exited") or (4001, "TAKEN_OVER"), $"{Closed}");
                    await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, limit.Token);
                    return;
                }

                var data = frame.ToArray();
                if (received.MessageType == WebSocketMessageType.Text)
                {
                    Messages.Add(JsonSerializer.Deserialize(Encoding.UTF8.GetString(data), ExecdJson.Default.PtyMessage)!);
                }
                else if (data[0] == PtyFrames.Replay)
                {
                    var offset = System.Buffers.Binary.BinaryPrimitives.ReadInt64BigEndian(data.AsSpan(1));
                    ReplayedFrom ??= offset;
                    Assert.Equal(ReplayedFrom + Output.Length, offset);
                    Output.Write(data, 9, data.Length - 9);
                }
                else
                {
                    (data[0] == PtyFrames.Stdout ? Output : Error).Write(data, 1, data.Length - 1);
                }
            }
        }

        public void Drop() => socket.Abort();

        public void Dispose() => socket.Dispose();
    }
}
