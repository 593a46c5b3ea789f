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
        Assert.Equal(501, (await agent.SendAsync(HttpMethod.Get, $"/pty/{id}/ws")).Status);
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Get, $"/pty/{id}/ws?pty=0")).Status);
        using var client = await AttachAsync(id);
        await client.ReadUntilAsync(() => client.Messages.Count > 0);
        Assert.Equal(409, (await agent.SendAsync(HttpMethod.Get, $"/pty/{id}/ws?pty=0")).Status);
        Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, $"/pty/{id}")).Status);
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

    private Task<PtyClient> AttachAsync(string id) => AttachAsync(id, agent);

    private static async Task<PtyClient> AttachAsync(string id, AgentProgram agent)
    {
        var socket = new ClientWebSocket();
        System.Net.Sockets.Socket? raw = null;
        await socket.ConnectAsync(new Uri($"ws://agent/pty/{id}/ws?pty=0"), new HttpMessageInvoker(new SocketsHttpHandler
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

        public Task SendAsync(byte[] data, bool binary) =>
            socket.SendAsync(data, binary ? WebSocketMessageType.Binary : WebSocketMessageType.Text, true, CancellationToken.None);

        public Task SendRawAsync(byte[] data) => raw.SendAsync(data);

        public Task ReadToEndAsync() => ReadUntilAsync(() => false);

        public async Task ReadUntilAsync(Func<bool> enough)
        {
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
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
                    Assert.Equal((WebSocketCloseStatus.NormalClosure, "process exited"), (received.CloseStatus, received.CloseStatusDescription));
                    await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, limit.Token);
                    return;
                }

                var data = frame.ToArray();
                if (received.MessageType == WebSocketMessageType.Text)
                {
                    Messages.Add(JsonSerializer.Deserialize(Encoding.UTF8.GetString(data), ExecdJson.Default.PtyMessage)!);
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
