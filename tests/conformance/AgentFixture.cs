using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace DoSandbox.ConformanceTests;

/// <summary>Our agent, without a sandbox around it, on a unix socket; and ways to it.</summary>
public sealed class AgentFixture : IAsyncLifetime
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dosandbox-conformance-").FullName;
    private readonly CancellationTokenSource _end = new();
    private readonly List<TcpListener> _listeners = [];
    private Process? _agent;

    public string Socket => Path.Combine(_folder, "agent.sock");

    /// <summary>Of the agent.</summary>
    public int ProcessId => _agent!.Id;

    public async Task InitializeAsync()
    {
        var home = Directory.CreateDirectory(Path.Combine(_folder, "home")).FullName;
        _agent = Process.Start(new ProcessStartInfo(FindAgent(), ["serve", "--socket", Socket]) { UseShellExecute = false, WorkingDirectory = home })!;
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (true)
        {
            Assert.False(_agent.HasExited, "The agent ended.");
            try
            {
                using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                await probe.ConnectAsync(new UnixDomainSocketEndPoint(Socket), bound.Token);
                return;
            }
            catch (SocketException)
            {
                await Task.Delay(10, bound.Token);
            }
        }
    }

    public async Task DisposeAsync()
    {
        await _end.CancelAsync();
        _listeners.ForEach(listener => listener.Dispose());
        if (_agent is not null)
        {
            _agent.Kill(entireProcessTree: true);
            await _agent.WaitForExitAsync();
            _agent.Dispose();
        }

        Directory.Delete(_folder, recursive: true);
        _end.Dispose();
    }

    /// <summary>Listens on the loopback and passes everything on to the agent.</summary>
    /// <param name="hideExtensions">True spoils the header by which the agent tells what it can beyond execd, so that it looks like any execd.</param>
    public Uri Relay(bool hideExtensions)
    {
        var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        _listeners.Add(listener);
        _ = AcceptAsync(listener, hideExtensions);
        return new Uri($"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}");
    }

    private static string FindAgent()
    {
        if (Environment.GetEnvironmentVariable("DOSANDBOX_AGENT") is { Length: > 0 } named)
        {
            return named;
        }

        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            var built = Path.Combine(folder.FullName, "module/bin/agent/linux-x64/dosandbox-agent");
            if (File.Exists(built))
            {
                return built;
            }
        }

        throw new FileNotFoundException("The agent is not built: run ./build.sh build, or name its binary in DOSANDBOX_AGENT.");
    }

    private async Task AcceptAsync(TcpListener listener, bool hideExtensions)
    {
        try
        {
            while (true)
            {
                var client = await listener.AcceptSocketAsync(_end.Token);
                _ = PassOnAsync(client, hideExtensions);
            }
        }
        catch (Exception end) when (end is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The fixture is at its end.
        }
    }

    private async Task PassOnAsync(Socket client, bool hideExtensions)
    {
        using (client)
        {
            using var agent = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await agent.ConnectAsync(new UnixDomainSocketEndPoint(Socket), _end.Token);
                await Task.WhenAny(CopyAsync(client, agent, false), CopyAsync(agent, client, hideExtensions));
            }
            catch (Exception end) when (end is OperationCanceledException or SocketException)
            {
                // One side is gone; the other learns it by the closing.
            }
        }
    }

    private async Task CopyAsync(Socket from, Socket to, bool hideExtensions)
    {
        var buffer = new byte[128 * 1024];
        try
        {
            while (await from.ReceiveAsync(buffer, _end.Token) is > 0 and var length)
            {
                if (hideExtensions && buffer.AsSpan(0, length).IndexOf("X-DoSandbox-Ext"u8) is >= 0 and var at)
                {
                    buffer[at] = (byte)'Y';
                }

                for (var sent = 0; sent < length;)
                {
                    sent += await to.SendAsync(buffer.AsMemory(sent, length - sent), _end.Token);
                }
            }
        }
        catch (Exception end) when (end is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // As above.
        }
    }
}
