using System.Text.Json;
using DoSandbox.Wire.Execd;
using DoSandbox.Wire.Run;

namespace DoSandbox.UnitTests.Agent;

public sealed class SessionTests(AgentProgram agent) : IClassFixture<AgentProgram>
{
    [Fact]
    public async Task What_a_command_sets_is_there_for_the_next()
    {
        var id = await CreateAsync();
        var set = await RunAsync(id, """
            cd /usr/lib
            export EXPORTED=$'a "quoted"\n\tvalue $HOME' ; plain='it'\''s'; declare -a list=(one 'two three' ''); declare -A map=([k y]=v)
            greet() { echo "hi $1" | tr a-z A-Z; }
            alias say='echo said'
            umask 027; set -o pipefail; shopt -s nullglob extglob; IFS=,; unset AGENT_TEST; PATH=$PATH:/extra
            odd() { case $1 in +(x)) echo xs ;; esac; }; export -f greet
            """);
        Assert.Equal(("", "", 0), (set.OutputText, Text(set.Error), set.Exited!.ExitCode));
        var get = await RunAsync(id, """
            printf '%s|' "$PWD" "$EXPORTED" "$plain" "${list[@]}" "${#list[@]}" "${map[k y]}" "$IFS" "$(umask)" "${AGENT_TEST-unset}" "${PATH##*:}"
            say
            greet you; odd xxx; bash -c 'greet child'; printenv EXPORTED plain
            false | true; echo $?; echo no-such-*; cd ~-; pwd
            """);
        Assert.Equal(
            "/usr/lib|a \"quoted\"\n\tvalue $HOME|it's|one|two three||3|v|,|0027|unset|/extra|said\nHI YOU\nxs\nHI CHILD\na \"quoted\"\n\tvalue $HOME\n1\n\n"
            + agent.Folder + "\n",
            get.OutputText);
        Assert.Equal("", Text(get.Error));
    }

    [Fact]
    public async Task Streams_stay_apart_byte_for_byte_and_every_command_has_its_exit_code()
    {
        var id = await CreateAsync();
        var outcome = await RunAsync(id, "printf 'a\\0\\377\\n\\n'; cat; printf err >&2; (exit 7)", [1, 0, 255]);
        Assert.Equal([(byte)'a', 0, 255, (byte)'\n', (byte)'\n', 1, 0, 255], outcome.Output);
        Assert.Equal(("err", 7), (Text(outcome.Error), outcome.Exited!.ExitCode));
        Assert.Equal(0, (await RunAsync(id, "x=1; exit")).Exited!.ExitCode);
        Assert.Equal(9, (await RunAsync(id, "x=2; leave() { cd /tmp; exit 9; }; leave")).Exited!.ExitCode);
        Assert.Equal("2 /tmp", (await RunAsync(id, "echo -n $x $PWD")).OutputText);
        Assert.Equal(143, (await RunAsync(id, "x=3; kill -TERM $$")).Exited!.ExitCode);
        Assert.Equal(0, (await RunAsync(id, "x=3; exec true")).Exited!.ExitCode);
        Assert.Equal("2", (await RunAsync(id, "echo -n $x")).OutputText);
        var wrong = await RunAsync(id, "echo one\nif then");
        Assert.Equal((2, "one\n"), (wrong.Exited!.ExitCode, wrong.OutputText));
        Assert.Matches("^bash: .*line 2:", Text(wrong.Error));
    }

    [Fact]
    public async Task Options_and_hostile_names_do_not_break_a_session()
    {
        var id = await CreateAsync();
        await RunAsync(id, "set -eu; readonly R=1; declare() { echo mine; }; builtin() { :; }; unset -f builtin; alias printf='echo no' shopt=false; set() { :; }; unset -f set; n=5; declare -i i=3 2>/dev/null");
        var second = await RunAsync(id, "echo $-; echo $R; R=2; echo unreachable");
        Assert.Contains("e", second.OutputText.Split('\n')[0], StringComparison.Ordinal);
        Assert.Contains("u", second.OutputText.Split('\n')[0], StringComparison.Ordinal);
        Assert.DoesNotContain("unreachable", second.OutputText, StringComparison.Ordinal);
        Assert.Equal("mine\n5\n", (await RunAsync(id, "set +eu; declare; echo $n")).OutputText);
        Assert.Equal("", Text((await RunAsync(id, "set -x")).Error));
        var traced = await RunAsync(id, "echo traced");
        Assert.Equal("traced\n", traced.OutputText);
        Assert.Matches("^[+]+ echo traced\n$", Text(traced.Error));
        Assert.Equal("", Text((await RunAsync(id, "{ set +x; } 2>/dev/null")).Error));
        Assert.Equal("", (await RunAsync(id, "compgen -v __dosandbox | grep -v -e status -e options -e saved -e command -e here -e lost -e prefix")).OutputText);
    }

    [Fact]
    public async Task A_time_out_or_a_lost_client_ends_the_command_and_leaves_the_session()
    {
        var id = await CreateAsync();
        await RunAsync(id, "v=kept");
        var late = await agent.RunAsync(new RunRequest { Session = id, Command = "v=lost; echo early; sleep 987641", Timeout = 200 });
        Assert.True(late.Exited!.TimedOut);
        Assert.Equal("early\n", late.OutputText);
        using (var abandoned = await agent.StartRunAsync(new RunRequest { Session = id, Command = "v=lost; sleep 987642" }))
        {
            await Eventually.TrueAsync(() => Eventually.CountProcesses("sleep 987642") > 0, "it runs");
            Assert.Equal((409, "session is busy"), (await agent.RefusedRunAsync(new RunRequest { Session = id, Command = "true" })) is var (status, error) ? (status, error.Message) : default);
        }

        await Eventually.TrueAsync(() => Eventually.CountProcesses("sleep 98764") == 0, "both are gone");
        await Eventually.TrueAsync(async () => (await agent.SendAsync(HttpMethod.Post, $"/session/{id}/run", """{"command":"true"}""")).Status == 200, "the session is free");
        Assert.Equal("kept", (await RunAsync(id, "echo -n $v")).OutputText);
    }

    [Fact]
    public async Task A_directory_that_is_gone_is_told_and_another_can_be_named()
    {
        var folder = Directory.CreateTempSubdirectory("agent-session-").FullName;
        var id = await CreateAsync($$"""{"cwd":"{{folder}}"}""");
        Assert.Equal(folder + "\n", (await RunAsync(id, "pwd; v=1")).OutputText);
        Directory.Delete(folder);
        var lost = await RunAsync(id, "rm -rf ./*");
        Assert.Equal(1, lost.Exited!.ExitCode);
        Assert.Contains("is gone", Text(lost.Error), StringComparison.Ordinal);
        var moved = await agent.RunAsync(new RunRequest { Session = id, Command = "pwd; echo $v", Cwd = "/usr" });
        Assert.Equal("/usr\n1\n", moved.OutputText);
        Assert.Equal("/usr\n", (await RunAsync(id, "pwd")).OutputText);
    }

    [Fact]
    public async Task Events_are_those_of_execd()
    {
        var id = await CreateAsync();
        var (status, body) = await agent.SendAsync(HttpMethod.Post, $"/session/{id}/run", """{"command":"echo a; echo; echo b >&2; v=5","cwd":"/tmp"}""");
        Assert.Equal(200, status);
        var events = Parse(body);
        Assert.Equal((StreamEventTypes.Init, id), (events[0].Type, events[0].Text));
        Assert.Equal(["a", "\n"], events.Where(each => each.Type == StreamEventTypes.Stdout).Select(each => each.Text!));
        Assert.Equal(["b"], events.Where(each => each.Type == StreamEventTypes.Stderr).Select(each => each.Text!));
        Assert.Equal(StreamEventTypes.Complete, events[^1].Type);
        events = Parse((await agent.SendAsync(HttpMethod.Post, $"/session/{id}/run", """{"command":"pwd; exit $v"}""")).Body);
        Assert.Contains(events, each => each.Text == "/tmp");
        Assert.Equal(("CommandExecError", "5"), (events[^1].Error!.Ename, events[^1].Error!.Evalue));
        events = Parse((await agent.SendAsync(HttpMethod.Post, $"/session/{id}/run", """{"command":"sleep 987643","timeout":100}""")).Body);
        Assert.Equal("-1", events[^1].Error!.Evalue);
    }

    [Fact]
    public async Task Deleting_a_session_ends_its_command()
    {
        foreach (var route in (string[])["/session/", "/command?id="])
        {
            var id = await CreateAsync();
            var running = agent.SendAsync(HttpMethod.Post, $"/session/{id}/run", """{"command":"sleep 987644"}""");
            await Eventually.TrueAsync(() => Eventually.CountProcesses("sleep 987644") > 0, "it runs");
            Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, route + id)).Status);
            Assert.Equal(0, Eventually.CountProcesses("sleep 987644"));
            Assert.Equal("-1", Parse((await running).Body)[^1].Error!.Evalue);
            Assert.Equal(404, (await agent.SendAsync(HttpMethod.Post, $"/session/{id}/run", """{"command":"true"}""")).Status);
        }
    }

    [Fact]
    public async Task Refusals()
    {
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Post, "/session", """{"cwd":"/nope"}""")).Status);
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Post, "/session", "[]")).Status);
        Assert.Equal(404, (await agent.SendAsync(HttpMethod.Get, "/session")).Status);
        var (status, body) = await agent.SendAsync(HttpMethod.Delete, "/session/nope");
        Assert.Equal((404, ExecdErrorCodes.ContextNotFound), (status, JsonSerializer.Deserialize(body, ExecdJson.Default.ErrorBody)!.Code));
        var id = await CreateAsync();
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Post, $"/session/{id}/run", """{"command":" "}""")).Status);
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Post, $"/session/{id}/run", """{"command":"true","timeout":0}""")).Status);
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Post, $"/session/{id}/run", """{"command":"true","cwd":"/nope"}""")).Status);
        Assert.Equal(400, (await agent.RefusedRunAsync(new RunRequest { Session = id, Command = "true", Envs = new() { ["A"] = "b" } })).Status);
        Assert.Equal(404, (await agent.RefusedRunAsync(new RunRequest { Session = "nope", Command = "true" })).Status);
        Assert.Equal("ok\n", (await RunAsync(id, "echo ok")).OutputText);
    }

    private static string Text(byte[] bytes) => System.Text.Encoding.UTF8.GetString(bytes);

    private static StreamEvent[] Parse(string body) =>
        [.. body.Split("\n\n", StringSplitOptions.RemoveEmptyEntries).Select(frame => JsonSerializer.Deserialize(frame, ExecdJson.Default.StreamEvent)!)];

    private Task<RunOutcome> RunAsync(string session, string command, byte[]? input = null) =>
        agent.RunAsync(new RunRequest { Session = session, Command = command }, input);

    private async Task<string> CreateAsync(string? json = null)
    {
        var (status, body) = await agent.SendAsync(HttpMethod.Post, "/session", json);
        Assert.Equal(200, status);
        return JsonSerializer.Deserialize(body, ExecdJson.Default.SessionStarted)!.SessionId;
    }
}
