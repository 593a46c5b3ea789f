using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using DoSandbox.Wire.Execd;
using DoSandbox.Wire.Run;

namespace DoSandbox.UnitTests.Agent;

/// <summary>A running agent of its own, in a folder of its own, with a client.</summary>
public sealed class AgentProgram : IDisposable
{
    private readonly Process _process;

    public AgentProgram()
        : this([], null)
    {
    }

    /// <param name="arguments">Further arguments of the agent.</param>
    /// <param name="wrapper">A program and its arguments that starts the agent, as bubblewrap.</param>
    /// <param name="environment">Further environment variables.</param>
    internal AgentProgram(string[] arguments, string[]? wrapper, params (string Name, string Value)[] environment)
    {
        Folder = Directory.CreateTempSubdirectory("agent-test-").FullName;
        SocketPath = Path.Combine(Folder, "agent.sock");
        var binary = FindBinary();
        if (wrapper == Wrappers.OtherUser)
        {
            // The other user may not reach into the folders of this one.
            binary = Path.Combine(Folder, "agent");
            File.Copy(FindBinary(), binary);
            File.SetUnixFileMode(Folder, (UnixFileMode)0x1FF);
            File.SetUnixFileMode(binary, (UnixFileMode)0x1ED);
        }

        string[] line = [.. wrapper ?? [], binary, "serve", "--socket", SocketPath, .. arguments];
        var start = new ProcessStartInfo(line[0], line[1..]) { WorkingDirectory = Folder };
        start.Environment["AGENT_TEST"] = "yes";
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        _process = Process.Start(start)!;
        Client = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = async (_, cancellation) =>
            {
                var socket = await ConnectAsync(cancellation);
                return new NetworkStream(socket, ownsSocket: true);
            },
        })
        {
            BaseAddress = new Uri("http://agent"),
            Timeout = TimeSpan.FromSeconds(60),
        };
    }

    public string Folder { get; }

    public string SocketPath { get; }

    public HttpClient Client { get; }

    public int Pid => _process.Id;

    /// <summary>Resident bytes of the agent.</summary>
    public long ResidentBytes => 1024 * long.Parse(
        File.ReadLines($"/proc/{Pid}/status").Single(line => line.StartsWith("VmRSS:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1],
        CultureInfo.InvariantCulture);

    public bool HasExited => _process.HasExited;

    public static string FindBinary()
    {
        if (Environment.GetEnvironmentVariable("DOSANDBOX_AGENT") is { Length: > 0 } named)
        {
            return named;
        }

        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var path = Path.Combine(folder.FullName, "module/bin/agent/linux-x64/dosandbox-agent");
            if (File.Exists(path))
            {
                return path;
            }
        }

        throw new InvalidOperationException("There is no agent: publish src/DoSandbox.Agent to module/bin/agent/linux-x64, or name one in DOSANDBOX_AGENT.");
    }

    public async Task<Socket> ConnectAsync(CancellationToken cancellation = default)
    {
        for (var deadline = Stopwatch.StartNew(); ; await Task.Delay(10, cancellation))
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(SocketPath), cancellation);
                return socket;
            }
            catch (SocketException) when (deadline.Elapsed < TimeSpan.FromSeconds(10) && !_process.HasExited)
            {
                socket.Dispose();
            }
        }
    }

    /// <summary>Sends a run request and leaves its answer unread.</summary>
    public async Task<HttpResponseMessage> StartRunAsync(RunRequest request, byte[]? input = null, CancellationToken cancellation = default)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(request, ExecdJson.Default.RunRequest);
        byte[] body = [(byte)(json.Length >> 24), (byte)(json.Length >> 16), (byte)(json.Length >> 8), (byte)json.Length, .. json, .. input ?? []];
        var content = new ByteArrayContent(body);
        content.Headers.ContentType = new MediaTypeHeaderValue(AgentExtensions.RunContentType);
        using var message = new HttpRequestMessage(HttpMethod.Post, AgentExtensions.RunRoute) { Content = content };
        return await Client.SendAsync(message, HttpCompletionOption.ResponseHeadersRead, cancellation);
    }

    public Task<RunOutcome> RunAsync(string command, byte[]? input = null) => RunAsync(new RunRequest { Command = command }, input);

    /// <summary>Runs a command to its end.</summary>
    public async Task<RunOutcome> RunAsync(RunRequest request, byte[]? input = null)
    {
        using var answer = await StartRunAsync(request, input);
        Assert.True(answer.IsSuccessStatusCode, await FailureOf(answer));
        await using var stream = await answer.Content.ReadAsStreamAsync();
        var outcome = new RunOutcome();
        while (await FrameReader.ReadAsync(stream) is { } frame)
        {
            outcome.Add(frame.Type, frame.Payload);
        }

        return outcome;
    }

    /// <summary>The status and error of a refused run.</summary>
    public async Task<(int Status, ErrorBody Error)> RefusedRunAsync(RunRequest request)
    {
        using var answer = await StartRunAsync(request);
        return ((int)answer.StatusCode, JsonSerializer.Deserialize(await answer.Content.ReadAsStringAsync(), ExecdJson.Default.ErrorBody)!);
    }

    public async Task<string> GetAsync(string path) => await (await Client.GetAsync(path)).Content.ReadAsStringAsync();

    public async Task<(int Status, string Body)> SendAsync(HttpMethod method, string path, string? json = null)
    {
        using var message = new HttpRequestMessage(method, path);
        if (json is not null)
        {
            message.Content = new StringContent(json, Encoding.UTF8, "application/json");
        }

        using var answer = await Client.SendAsync(message);
        return ((int)answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    public void Dispose()
    {
        Client.Dispose();
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }

        _process.WaitForExit();
        _process.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    private static async Task<string> FailureOf(HttpResponseMessage answer) =>
        answer.IsSuccessStatusCode ? "" : await answer.Content.ReadAsStringAsync();
}

/// <summary>What the frames of a run told.</summary>
public sealed class RunOutcome
{
    private readonly MemoryStream _output = new();
    private readonly MemoryStream _error = new();

    public RunStarted? Started { get; private set; }

    public RunExited? Exited { get; private set; }

    public byte[] Output => _output.ToArray();

    public byte[] Error => _error.ToArray();

    public string OutputText => Encoding.UTF8.GetString(Output);

    public void Add(RunFrameType type, byte[] payload)
    {
        Assert.Null(Exited);
        switch (type)
        {
            case RunFrameType.Stdout:
                _output.Write(payload);
                break;
            case RunFrameType.Stderr:
                _error.Write(payload);
                break;
            case RunFrameType.Started:
                Started = JsonSerializer.Deserialize(payload, ExecdJson.Default.RunStarted);
                break;
            case RunFrameType.Exited:
                Exited = JsonSerializer.Deserialize(payload, ExecdJson.Default.RunExited);
                break;
            case RunFrameType.Failed:
                Assert.Fail(Encoding.UTF8.GetString(payload));
                break;
        }
    }
}

/// <summary>Reads frames off a stream.</summary>
public static class FrameReader
{
    public static async Task<(RunFrameType Type, byte[] Payload)?> ReadAsync(Stream stream, CancellationToken cancellation = default)
    {
        var header = new byte[RunFrame.HeaderSize];
        if (await stream.ReadAtLeastAsync(header, 1, throwOnEndOfStream: false, cancellation) is var got && got == 0)
        {
            return null;
        }

        await stream.ReadExactlyAsync(header.AsMemory(got), cancellation);
        var frame = RunFrame.ReadHeader(header);
        var payload = new byte[frame.Length];
        await stream.ReadExactlyAsync(payload, cancellation);
        return (frame.Type, payload);
    }
}

/// <summary>Waits for what another process does, and looks at processes.</summary>
public static class Eventually
{
    public static async Task TrueAsync(Func<Task<bool>> condition, string what)
    {
        for (var time = Stopwatch.StartNew(); time.Elapsed < TimeSpan.FromSeconds(20); await Task.Delay(10))
        {
            if (await condition())
            {
                return;
            }
        }

        Assert.Fail($"Waited in vain: {what}");
    }

    public static Task TrueAsync(Func<bool> condition, string what) => TrueAsync(() => Task.FromResult(condition()), what);

    /// <summary>Living processes whose command line holds a text.</summary>
    public static int CountProcesses(string text)
    {
        var count = 0;
        foreach (var folder in Directory.EnumerateDirectories("/proc").Where(folder => char.IsAsciiDigit(folder[6])))
        {
            try
            {
                count += File.ReadAllText(folder + "/cmdline").Replace('\0', ' ').Contains(text, StringComparison.Ordinal) ? 1 : 0;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // It ended meanwhile.
            }
        }

        return count;
    }
}
