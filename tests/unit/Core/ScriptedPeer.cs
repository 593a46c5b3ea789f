using System.Net.Sockets;
using System.Text;

namespace DoSandbox.UnitTests.Core;

/// <summary>Answers each request on a unix socket with given bytes, well-formed or not, and says which requests came.</summary>
internal sealed class ScriptedPeer : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dosandbox-peer-").FullName;
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly CancellationTokenSource _end = new();
    private readonly Func<string, byte[]?> _answer;
    private readonly Task _serving;

    /// <param name="answer">From "GET /ping" to the bytes of the answer, after which the connection is closed; null answers nothing and keeps it open.</param>
    public ScriptedPeer(Func<string, byte[]?> answer)
    {
        _answer = answer;
        _listener.Bind(new UnixDomainSocketEndPoint(Path));
        _listener.Listen();
        _serving = ServeAsync();
    }

    public string Path => System.IO.Path.Combine(_folder, "s");

    public System.Collections.Concurrent.ConcurrentQueue<string> Requests { get; } = [];

    public static byte[] Answer(string status, byte[] body, string headers = "") =>
        [.. Encoding.UTF8.GetBytes($"HTTP/1.1 {status}\r\nContent-Length: {body.Length}\r\n{headers}\r\n"), .. body];

    /// <summary>An answer whose body goes on until the connection is closed.</summary>
    public static byte[] Stream(params byte[][] pieces) =>
        [.. "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"u8, .. pieces.SelectMany(piece => (byte[])[.. Encoding.ASCII.GetBytes($"{piece.Length:x}\r\n"), .. piece, .. "\r\n"u8])];

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        _listener.Dispose();
        await _serving;
        _end.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task ServeAsync()
    {
        var serving = new List<Task>();
        try
        {
            while (true)
            {
                serving.Add(ServeOneAsync(await _listener.AcceptAsync(_end.Token)));
            }
        }
        catch (Exception end) when (end is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            await Task.WhenAll(serving);
        }
    }

    private async Task ServeOneAsync(Socket client)
    {
        using (client)
        {
            try
            {
                var head = new StringBuilder();
                var buffer = new byte[64 * 1024];
                while (!head.ToString().Contains("\r\n\r\n", StringComparison.Ordinal))
                {
                    var read = await client.ReceiveAsync(buffer, _end.Token);
                    if (read == 0)
                    {
                        return;
                    }

                    head.Append(Encoding.Latin1.GetString(buffer, 0, read));
                }

                var request = string.Join(' ', head.ToString().Split(' ')[..2]);
                Requests.Enqueue(request);
                if (_answer(request) is { } bytes)
                {
                    for (var sent = 0; sent < bytes.Length;)
                    {
                        sent += await client.SendAsync(bytes.AsMemory(sent), _end.Token);
                    }

                    client.Shutdown(SocketShutdown.Send);
                }

                // Until the other side has had enough.
                while (await client.ReceiveAsync(buffer, _end.Token) > 0)
                {
                }
            }
            catch (Exception gone) when (gone is SocketException or OperationCanceledException)
            {
                // The client left, or the test is over.
            }
        }
    }
}
