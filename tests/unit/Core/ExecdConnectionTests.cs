using System.Text;
using DoSandbox.Commands;
using DoSandbox.Connections.Execd;
using DoSandbox.Errors;
using DoSandbox.Files;
using DoSandbox.Wire.Run;

namespace DoSandbox.UnitTests.Core;

/// <summary>Peers that break off, lie or mean harm. None of them may look like success, hang, or speak through our messages.</summary>
public sealed class ExecdConnectionTests
{
    private static readonly byte[] Ours = ScriptedPeer.Answer("200 OK", [], $"{AgentExtensions.Header}: {AgentExtensions.Run}\r\n");
    private static readonly byte[] Stock = ScriptedPeer.Answer("200 OK", []);
    private static readonly byte[] Started = Frame(RunFrameType.Started, """{"id":"c1","pid":7}""");

    [Fact]
    public async Task Nobody_there_is_a_network_error_with_advice()
    {
        await using var connection = ExecdConnection.ForUnixSocket($"/tmp/dosandbox-nobody-{Guid.NewGuid():N}", "sb");
        var fault = await Assert.ThrowsAsync<SandboxException>(() => connection.PingAsync(default));
        Assert.Equal((SandboxErrorCode.Network, "sb"), (fault.Code, fault.SandboxId));
        Assert.NotEmpty(fault.Advice);
    }

    [Fact]
    public async Task The_backend_says_why_nobody_is_there()
    {
        await using var connection = ExecdConnection.ForUnixSocket($"/tmp/dosandbox-nobody-{Guid.NewGuid():N}", "sb",
            _ => Task.FromResult<SandboxException?>(new SandboxException(SandboxErrorCode.SandboxEnded, "The sandbox ended: out of memory.")));
        var fault = await Assert.ThrowsAsync<SandboxException>(() => connection.RunToEndAsync(new CommandRequest("true"), default));
        Assert.Equal(SandboxErrorCode.SandboxEnded, fault.Code);
        Assert.Contains("out of memory", fault.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("the connection breaks", null)]
    [InlineData("a clean end", "end")]
    public async Task A_stream_without_an_exit_is_an_unknown_outcome(string _, string? end)
    {
        var stream = ScriptedPeer.Stream(Started, Frame(RunFrameType.Stdout, "half"));
        var fault = await RunAsync(Ours, end is null ? stream : [.. stream, .. "0\r\n\r\n"u8]);
        Assert.Equal(SandboxErrorCode.OutcomeUnknown, fault.Code);
    }

    [Fact]
    public async Task No_answer_at_all_is_an_unknown_outcome_too() => Assert.Equal(SandboxErrorCode.OutcomeUnknown, (await RunAsync(Ours, [])).Code);

    [Fact]
    public async Task A_refused_command_was_not_started()
    {
        var fault = await RunAsync(Ours, ScriptedPeer.Answer("400 Bad", """{"code":"INVALID_REQUEST_BODY","message":"no such\u001b[31m directory"}"""u8.ToArray()));
        Assert.Equal(SandboxErrorCode.CommandNotStarted, fault.Code);
        Assert.DoesNotContain("\u001b", fault.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("502 Bad Gateway", "<html>", SandboxErrorCode.OutcomeUnknown)]
    [InlineData("502 Bad Gateway", """{"code":"UPSTREAM","message":"the connection was reset"}""", SandboxErrorCode.OutcomeUnknown)]
    [InlineData("504 Gateway Timeout", "", SandboxErrorCode.OutcomeUnknown)]
    [InlineData("503 Service Unavailable", "<html>no such file or directory</html>", SandboxErrorCode.OutcomeUnknown)]
    [InlineData("503 Service Unavailable", """{"code":"SERVICE_UNAVAILABLE","message":"too many commands"}""", SandboxErrorCode.Network)]
    public async Task A_gateway_that_gives_up_may_have_passed_the_command_on(string status, string body, SandboxErrorCode code)
    {
        foreach (var ping in new[] { Ours, Stock })
        {
            var fault = await RunAsync(ping, ScriptedPeer.Answer(status, Encoding.UTF8.GetBytes(body)));
            Assert.Equal((code, "sb"), (fault.Code, fault.SandboxId));
            Assert.Equal(code == SandboxErrorCode.Network, fault.Advice.Contains("try again", StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task A_wrong_token_is_told_as_such() =>
        Assert.Equal(SandboxErrorCode.PermissionDenied, (await RunAsync(ScriptedPeer.Answer("401 Unauthorized", """{"error":"Unauthorized"}"""u8.ToArray()), [])).Code);

    [Fact]
    public async Task A_huge_error_body_is_cut()
    {
        var fault = await RunAsync(Ours, ScriptedPeer.Answer("500 Bad", Encoding.UTF8.GetBytes(new string('x', 3_000_000))));
        Assert.Equal(SandboxErrorCode.CommandNotStarted, fault.Code);
        Assert.InRange(fault.Message.Length, 10, 2000);
    }

    public static TheoryData<string, byte[]> Nonsense => new()
    {
        { "an unknown frame", Raw(0x33, 0) },
        { "a frame beyond its bound", Raw((byte)RunFrameType.Stdout, int.MaxValue) },
        { "a negative frame", Raw((byte)RunFrameType.Stdout, -1) },
        { "a second start", Started },
        { "an exit that is no JSON", Frame(RunFrameType.Exited, "{") },
        { "an exit code out of bounds", Frame(RunFrameType.Exited, """{"exit_code":-5}""") },
        { "an exit code of the wrong kind", Frame(RunFrameType.Exited, """{"exit_code":"zero"}""") },
    };

    [Theory]
    [MemberData(nameof(Nonsense))]
    public async Task Frames_that_make_no_sense_are_a_violation_of_the_protocol(string _, byte[] frame)
    {
        await using var peer = new ScriptedPeer(request => request switch
        {
            "GET /ping" => Ours,
            "POST /dosandbox/run" => ScriptedPeer.Stream(Started, frame, new byte[512 * 1024]), // so that the nonsense is met before the end
            _ => ScriptedPeer.Answer("200 OK", []),
        });
        await using var connection = ExecdConnection.ForUnixSocket(peer.Path);
        var fault = await Assert.ThrowsAsync<SandboxException>(() => connection.RunToEndAsync(new CommandRequest("true"), default));
        Assert.Equal(SandboxErrorCode.ProtocolViolation, fault.Code);
        // What cannot be followed is not left running.
        Assert.Contains("DELETE /command?id=c1", peer.Requests);
    }

    [Fact]
    public async Task A_failure_in_the_middle_is_an_unknown_outcome()
    {
        var fault = await RunAsync(Ours, ScriptedPeer.Stream(Started, Frame(RunFrameType.Failed, """{"code":"RUNTIME_ERROR","message":"pipe broke"}""")));
        Assert.Equal(SandboxErrorCode.OutcomeUnknown, fault.Code);
        Assert.Contains("pipe broke", fault.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"type":"init","text":"c1","timestamp":1}""", """{"code":"RUNTIME_ERROR","message":"timeout after 3s"}""", SandboxErrorCode.OutcomeUnknown)]
    [InlineData("""{"type":"init","text":"c1","timestamp":1}""", """{"type":"stdout","text":"half","timestamp":1}""", SandboxErrorCode.OutcomeUnknown)]
    [InlineData("""{"type":"init","text":"c1","timestamp":1}""", "", SandboxErrorCode.OutcomeUnknown)]
    [InlineData("""{"type":"init","text":"c1","timestamp":1}""", "<html>", SandboxErrorCode.ProtocolViolation)]
    [InlineData("""{"type":"init","text":"c1","timestamp":1}""", """{"type":"error","error":{"ename":"CommandExecError","evalue":"-1","traceback":["?"]}}""", SandboxErrorCode.OutcomeUnknown)]
    [InlineData("""{"type":"init","text":"c1","timestamp":1}""", """{"type":"error","error":{"ename":"CommandExecError","evalue":"fork/exec: no shell","traceback":[]}}""", SandboxErrorCode.CommandNotStarted)]
    public async Task A_stream_of_events_that_ends_badly_is_never_a_success(string first, string second, SandboxErrorCode code)
    {
        var fault = await RunAsync(Stock, ScriptedPeer.Stream([.. Encoding.UTF8.GetBytes($"{first}\n\n{second}\n\n")]));
        Assert.Equal(code, fault.Code);
    }

    [Fact]
    public async Task Events_of_a_stock_execd_are_a_result()
    {
        await using var peer = new ScriptedPeer(request => request == "GET /ping" ? Stock : ScriptedPeer.Stream("""
            {"type":"init","text":"c1","timestamp":1}

            {"type":"ping","text":"pong","timestamp":1}

            {"type":"stdout","text":"a","timestamp":1}

            {"type":"stdout","text":"\n","timestamp":1}

            data: {"type":"stderr","text":"e","timestamp":1}

            {"type":"stdout","text":"b","timestamp":1}

            {"type":"error","timestamp":1,"error":{"ename":"CommandExecError","evalue":"7","traceback":["exit status 7"]}}


            """u8.ToArray()));
        await using var connection = ExecdConnection.ForUnixSocket(peer.Path);
        var result = await connection.RunToEndAsync(new CommandRequest("x"), default);
        Assert.Equal(("a\n\nb\n", "e\n", 7), (result.Stdout, result.Stderr, result.ExitCode));
    }

    [Fact]
    public async Task A_download_that_is_cut_short_throws()
    {
        await using var peer = new ScriptedPeer(request => request == "GET /ping"
            ? Ours
            : [.. "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"u8, .. new byte[400]]);
        await using var connection = ExecdConnection.ForUnixSocket(peer.Path);
        await using var content = await connection.Files.OpenReadAsync("/file", default);
        var fault = await Assert.ThrowsAsync<SandboxException>(() => content.CopyToAsync(Stream.Null));
        Assert.Equal(SandboxErrorCode.Network, fault.Code);
    }

    [Theory]
    [InlineData("[1,2")]
    [InlineData("{}")]
    [InlineData("<html>")]
    public async Task A_listing_that_is_none_is_a_violation_of_the_protocol(string body)
    {
        await using var peer = new ScriptedPeer(request => request == "GET /ping" ? Ours : ScriptedPeer.Answer("200 OK", Encoding.UTF8.GetBytes(body)));
        await using var connection = ExecdConnection.ForUnixSocket(peer.Path);
        var fault = await Assert.ThrowsAsync<SandboxException>(async () =>
        {
            await foreach (var _ in connection.Files.ListAsync("/", 1, default))
            {
            }
        });
        Assert.Equal(SandboxErrorCode.ProtocolViolation, fault.Code);
    }

    [Fact]
    public async Task A_redirect_is_not_followed()
    {
        await using var peer = new ScriptedPeer(_ => ScriptedPeer.Answer("302 Found", [], "Location: http://127.0.0.1:1/\r\n"));
        await using var connection = ExecdConnection.ForUnixSocket(peer.Path);
        Assert.Equal(SandboxErrorCode.ProtocolViolation, (await Assert.ThrowsAsync<SandboxException>(() => connection.PingAsync(default))).Code);
        Assert.Equal(["GET /ping"], peer.Requests);
    }

    [Fact]
    public async Task Cancelling_is_not_held_up_by_a_peer_that_says_nothing()
    {
        await using var peer = new ScriptedPeer(request => request == "GET /ping" ? Ours : null);
        await using var connection = ExecdConnection.ForUnixSocket(peer.Path);
        await connection.PingAsync(default);
        using var cancel = new CancellationTokenSource(TimeSpan.FromMilliseconds(100));
        var began = Environment.TickCount64;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connection.RunToEndAsync(new CommandRequest("true"), cancel.Token));
        Assert.InRange(Environment.TickCount64 - began, 0, 4000);
    }

    [Theory]
    [InlineData(AgentExtensions.Run, "POST /files/upload")]
    [InlineData(AgentExtensions.Run + ", " + AgentExtensions.PtyInput, "POST /pty")]
    public async Task Cancelling_an_upload_cleans_up_within_one_bound(string extensions, string stuck)
    {
        var sending = new TaskCompletionSource();
        await using var peer = new ScriptedPeer(request =>
        {
            if (request == "GET /ping")
            {
                return ScriptedPeer.Answer("200 OK", [], $"{AgentExtensions.Header}: {extensions}\r\n");
            }

            if (request.StartsWith("GET /files/info", StringComparison.Ordinal) && !sending.Task.IsCompleted)
            {
                return ScriptedPeer.Answer("404 Not Found", """{"code":"FILE_NOT_FOUND","message":"no such file"}"""u8.ToArray());
            }

            if (request == stuck)
            {
                sending.SetResult();
            }

            return null;
        });
        await using var connection = ExecdConnection.ForUnixSocket(peer.Path);
        var source = Directory.CreateTempSubdirectory("dosandbox-upload-").FullName;
        try
        {
            using var cancel = new CancellationTokenSource();
            var upload = Task.Run(async () =>
            {
                await foreach (var _ in SandboxTransfer.UploadAsync(connection, source, "/target", new TransferOptions(), cancel.Token))
                {
                }
            });
            await sending.Task.WaitAsync(TimeSpan.FromSeconds(20));
            var began = Environment.TickCount64;
            await cancel.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => upload);
            Assert.InRange(Environment.TickCount64 - began, 0, 3500);
        }
        finally
        {
            Directory.Delete(source);
        }
    }

    [Fact]
    public void A_socket_path_that_is_too_long_is_refused_with_advice() =>
        Assert.Equal(SandboxErrorCode.StateFolder, Assert.Throws<SandboxException>(() => ExecdConnection.ForUnixSocket("/" + new string('x', 108))).Code);

    [Theory]
    [InlineData("a\u001b[2Jb\r\nc\u202e\u0000", "a\\u001b[2Jb  c\\u202e\\u0000")]
    [InlineData("plain ä€😀", "plain ä€😀")]
    public void Text_of_a_sandbox_is_made_harmless(string text, string clean) => Assert.Equal(clean, SafeText.Clean(text));

    private static async Task<SandboxException> RunAsync(byte[] ping, byte[] run)
    {
        await using var peer = new ScriptedPeer(request => request switch
        {
            "GET /ping" => ping,
            "POST /dosandbox/run" or "POST /command" => run,
            _ => ScriptedPeer.Answer("200 OK", []),
        });
        await using var connection = ExecdConnection.ForUnixSocket(peer.Path, "sb");
        return await Assert.ThrowsAsync<SandboxException>(() => connection.RunToEndAsync(new CommandRequest("true"), default).WaitAsync(TimeSpan.FromSeconds(30)));
    }

    private static byte[] Frame(RunFrameType type, string payload)
    {
        var bytes = Encoding.UTF8.GetBytes(payload);
        var header = new byte[RunFrame.HeaderSize];
        RunFrame.WriteHeader(header, type, bytes.Length);
        return [.. header, .. bytes];
    }

    private static byte[] Raw(byte type, int length)
    {
        var header = new byte[RunFrame.HeaderSize];
        RunFrame.WriteHeader(header, (RunFrameType)type, length);
        return header;
    }
}
