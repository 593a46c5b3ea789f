using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using DoSandbox.Wire.Execd;

namespace DoSandbox.UnitTests.Agent;

public sealed class CommandTests(AgentProgram agent) : IClassFixture<AgentProgram>
{
    [Fact]
    public async Task A_foreground_command_speaks_the_stream_of_execd()
    {
        using var answer = await PostAsync(new CommandStart { Command = @"printf 'a\n\nb\n\n\nc\r\nd'; echo oops >&2" });
        Assert.Equal("text/event-stream", answer.Content.Headers.ContentType!.MediaType);
        Assert.Equal("no-cache", answer.Headers.CacheControl!.ToString());
        var text = await answer.Content.ReadAsStringAsync();
        Assert.Matches("""^\{"type":"init","text":"[0-9a-f]{32}","timestamp":\d+\}\n\n\{"type":"ping","text":"pong","timestamp":\d+\}\n\n""", text);
        Assert.Matches("""\{"type":"execution_complete",("execution_time":\d+,)?"timestamp":\d+\}\n\n$""", text);
        var events = Parse(text);
        Assert.Equal(["a", "\n", "b", "\n", "\n", "c", "d"], events.Where(e => e.Type == "stdout").Select(e => e.Text!));
        Assert.Equal(["oops"], events.Where(e => e.Type == "stderr").Select(e => e.Text!));
        Assert.All(events, e => Assert.NotNull(e.Timestamp));
    }

    [Theory]
    [InlineData("exit 7", "7", "exit status 7")]
    [InlineData("kill -9 $$", "-1", "signal: killed")]
    [InlineData("kill $$", "-1", "signal: terminated")]
    public async Task A_failure_is_an_error_and_no_completion(string command, string value, string traceback)
    {
        var events = await RunAsync(new CommandStart { Command = command });
        var error = Assert.Single(events, e => e.Type == "error").Error!;
        Assert.Equal(("CommandExecError", value, traceback), (error.Ename, error.Evalue, Assert.Single(error.Traceback)));
        Assert.DoesNotContain(events, e => e.Type == "execution_complete");
    }

    [Fact]
    public async Task A_time_out_is_told_as_minus_one()
    {
        var events = await RunAsync(new CommandStart { Command = "sleep 987611", Timeout = 100 });
        Assert.Equal("-1", events[^1].Error!.Evalue);
    }

    [Fact]
    public async Task Long_lines_come_in_pieces_that_cut_no_character()
    {
        var events = await RunAsync(new CommandStart { Command = "for i in $(seq 100000); do printf '€'; done; echo; echo next" });
        var pieces = events.Where(e => e.Type == "stdout").Select(e => e.Text!).ToList();
        Assert.Equal("next", pieces[^1]);
        Assert.Equal(new string('€', 100000), string.Concat(pieces[..^1]));
        Assert.All(pieces, piece => Assert.InRange(Encoding.UTF8.GetByteCount(piece), 1, 64 * 1024));
    }

    [Fact]
    public async Task What_is_no_text_becomes_replacement_characters() =>
        Assert.Contains(await RunAsync(new CommandStart { Command = @"printf 'a\377b\n'" }), e => e is { Type: "stdout", Text: "a\ufffdb" });

    [Fact]
    public async Task A_background_command_answers_at_once_and_keeps_its_log()
    {
        var events = await RunAsync(new CommandStart { Command = "echo out; echo err >&2; exit 4", Background = true });
        Assert.Equal(["init", "execution_complete"], events.Select(e => e.Type!));
        var id = events[0].Text!;
        var status = await EndOf(id);
        Assert.Equal((4, "exit status 4", "echo out; echo err >&2; exit 4"), (status.ExitCode, status.Error, status.Content));
        using var logs = await agent.Client.GetAsync($"/command/{id}/logs");
        Assert.Equal("8", logs.Headers.GetValues(ExecdHeaders.LogCursor).Single());
        Assert.Equal("0", logs.Headers.GetValues(ExecdHeaders.LogDropped).Single());
        Assert.Equal("out\nerr\n", await logs.Content.ReadAsStringAsync());
        Assert.Equal("err\n", await agent.GetAsync($"/command/{id}/logs?cursor=4"));
        Assert.Equal("", await agent.GetAsync($"/command/{id}/logs?cursor=8"));
    }

    [Fact]
    public async Task A_log_keeps_the_newest_and_tells_what_it_dropped()
    {
        const int Kept = 16 * 1024 * 1024;
        const int Written = 20_000_000;
        var id = (await RunAsync(new CommandStart { Command = $"head -c {Written} /dev/zero; printf END", Background = true }))[0].Text!;
        await EndOf(id);
        using var logs = await agent.Client.GetAsync($"/command/{id}/logs");
        var body = await logs.Content.ReadAsByteArrayAsync();
        Assert.Equal(Kept, body.Length);
        Assert.Equal("END"u8.ToArray(), body[^3..]);
        Assert.Equal((Written + 3 - Kept).ToString(CultureInfo.InvariantCulture), logs.Headers.GetValues(ExecdHeaders.LogDropped).Single());
    }

    [Fact]
    public async Task Errors_have_the_documented_codes()
    {
        Assert.Equal((400, "MISSING_QUERY"), await ErrorOf(HttpMethod.Delete, "/command"));
        Assert.Equal((500, "RUNTIME_ERROR"), await ErrorOf(HttpMethod.Delete, "/command?id=nope"));
        Assert.Equal((404, "INVALID_REQUEST_BODY"), await ErrorOf(HttpMethod.Get, "/command/status/nope"));
        Assert.Equal((400, "INVALID_REQUEST_BODY"), await ErrorOf(HttpMethod.Get, "/command/nope/logs"));
        Assert.Equal((400, "INVALID_REQUEST_BODY"), await ErrorOf(HttpMethod.Post, "/command", "{"));
        Assert.Equal((400, "INVALID_REQUEST_BODY"), await ErrorOf(HttpMethod.Post, "/command", """{"command":""}"""));
        Assert.Equal((400, "INVALID_REQUEST_BODY"), await ErrorOf(HttpMethod.Post, "/command", """{"command":"true","timeout":0}"""));
        Assert.Equal((400, "INVALID_REQUEST_BODY"), await ErrorOf(HttpMethod.Post, "/command", """{"command":"true","gid":1}"""));
        Assert.Equal((400, "INVALID_REQUEST_BODY"), await ErrorOf(HttpMethod.Post, "/command", """{"command":"true","uid":4711}"""));
        Assert.Equal((400, "INVALID_REQUEST_BODY"), await ErrorOf(HttpMethod.Post, "/command", """{"command":"true","cwd":"/nope","background":true}"""));
    }

    [Fact]
    public async Task An_access_token_is_asked_for_everywhere_and_hidden_from_commands()
    {
        using var guarded = new AgentProgram(["--access-token-env", "TOKEN"], null, ("TOKEN", "s3cret"));
        using var refused = await guarded.Client.GetAsync("/ping");
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        Assert.Equal("""{"error":"Unauthorized: invalid or missing header X-EXECD-ACCESS-TOKEN"}""", await refused.Content.ReadAsStringAsync());
        guarded.Client.DefaultRequestHeaders.Add(ExecdHeaders.AccessToken, "s3cret");
        Assert.Equal("", (await guarded.RunAsync("printf %s \"$TOKEN\"")).OutputText);
    }

    [Fact]
    public async Task What_a_forgotten_command_left_can_still_write()
    {
        using var busy = new AgentProgram();
        var left = await busy.RunAsync("setsid sh -c 'while [ ! -e go ]; do sleep 0.05; done; for i in $(seq 20000); do echo $i; done; touch survived' & ");
        for (var i = 0; i < 300; i++)
        {
            await busy.RunAsync("true");
        }

        Assert.Equal(404, (await busy.SendAsync(HttpMethod.Get, $"/command/status/{left.Started!.Id}")).Status);
        await busy.RunAsync("touch go");
        await Eventually.TrueAsync(() => File.Exists(Path.Combine(busy.Folder, "survived")), "it writes to its end");
    }

    [BubblewrapFact]
    public async Task Input_that_a_descendant_holds_unread_ends_with_the_command()
    {
        using var other = new AgentProgram([], Wrappers.OtherUser);

        // With all the pipes that a user may have, no pipe takes the whole input.
        var full = other.RunAsync("""
            exec perl -e 'my @pipes; while (@pipes < 400) { pipe(my $in, my $out); push @pipes, $in, $out; fcntl($in, 1031, 1 << 20) or last }
            open(my $up, ">", "up"); while (! -e "enough") { select(undef, undef, undef, 0.02) }'
            """);
        await Eventually.TrueAsync(() => File.Exists(Path.Combine(other.Folder, "up")), "the pipes are there");
        var input = new byte[1024 * 1024];
        await other.RunAsync("exec 3<&0; { while [ ! -e go ]; do sleep 0.05; done; wc -c <&3 >counting; mv counting count; } >/dev/null 2>&1 &", input);
        await other.RunAsync("touch go");
        var count = Path.Combine(other.Folder, "count");
        await Eventually.TrueAsync(() => File.Exists(count), "the input ends");
        Assert.InRange(int.Parse(await File.ReadAllTextAsync(count), CultureInfo.InvariantCulture), 1, input.Length - 1);
        await other.RunAsync("touch enough");
        await full;
    }

    [BubblewrapFact]
    public async Task A_limit_of_processes_is_told_and_spares_the_agent()
    {
        using var limited = new AgentProgram(["--max-processes", "8"], Wrappers.OtherUser);
        var outcome = await limited.RunAsync("ulimit -u; for i in $(seq 30); do sleep 3 & done; wait");
        Assert.Contains("fork", Encoding.UTF8.GetString(outcome.Error), StringComparison.Ordinal);
        Assert.Equal("fine", (await limited.RunAsync("printf fine")).OutputText);
    }

    private static List<StreamEvent> Parse(string text) =>
        [.. text.Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Select(json => JsonSerializer.Deserialize(json, ExecdJson.Default.StreamEvent)!)];

    private Task<HttpResponseMessage> PostAsync(CommandStart command) => agent.Client.PostAsync(
        "/command", new StringContent(JsonSerializer.Serialize(command, ExecdJson.Default.CommandStart), Encoding.UTF8, "application/json"));

    private async Task<List<StreamEvent>> RunAsync(CommandStart command)
    {
        using var answer = await PostAsync(command);
        return Parse(await answer.Content.ReadAsStringAsync());
    }

    private async Task<CommandStatus> EndOf(string id)
    {
        CommandStatus? status = null;
        await Eventually.TrueAsync(
            async () => !(status = JsonSerializer.Deserialize(await agent.GetAsync($"/command/status/{id}"), ExecdJson.Default.CommandStatus)!).Running,
            "the command ends");

        // Its last output reaches the log just after.
        var end = "";
        await Eventually.TrueAsync(
            async () =>
            {
                using var logs = await agent.Client.GetAsync($"/command/{id}/logs", HttpCompletionOption.ResponseHeadersRead);
                var before = end;
                end = logs.Headers.GetValues(ExecdHeaders.LogCursor).Single();
                return before == end && end != "0";
            },
            "the log is whole");
        return status!;
    }

    private async Task<(int Status, string? Code)> ErrorOf(HttpMethod method, string path, string? json = null)
    {
        var (status, body) = await agent.SendAsync(method, path, json);
        return (status, JsonSerializer.Deserialize(body, ExecdJson.Default.ErrorBody)!.Code);
    }
}
