using System.Net.Sockets;
using System.Text.Json;
using DoSandbox.Wire.Local;

namespace DoSandbox.Agent.Supervision;

/// <summary>Answers the clients' lines on control.sock, one connection after the other: each is one short line and one short answer.</summary>
internal sealed class ControlServer(Socket listener, Func<ControlRequest, ControlReply> answer)
{
    private const int MaxLine = 4096;
    private const int TimeoutMilliseconds = 5000;

    private readonly Lock _answering = new();

    /// <summary>Starts answering on a thread that does not keep the process alive.</summary>
    public void Start() => new Thread(Serve, 128 * 1024) { IsBackground = true, Name = "control" }.Start();

    /// <summary>Waits for an answer that is on its way, at most as long as a client may take to read it.</summary>
    public void Finish()
    {
        if (_answering.TryEnter(TimeoutMilliseconds))
        {
            _answering.Exit();
        }
    }

    private void Serve()
    {
        while (true)
        {
            try
            {
                using var client = listener.Accept();
                client.ReceiveTimeout = client.SendTimeout = TimeoutMilliseconds;
                lock (_answering)
                {
                    Answer(client);
                }
            }
            catch (Exception exception) when (exception is SocketException or JsonException)
            {
                SupervisorLog.Write($"control: {exception.Message}");
            }
            catch (ObjectDisposedException)
            {
                return;
            }
        }
    }

    private void Answer(Socket client)
    {
        var line = new byte[MaxLine];
        var length = 0;
        int end;
        while ((end = line.AsSpan(0, length).IndexOf((byte)'\n')) < 0)
        {
            var read = length < MaxLine ? client.Receive(line.AsSpan(length)) : 0;
            if (read == 0)
            {
                return;
            }

            length += read;
        }

        var request = JsonSerializer.Deserialize(line.AsSpan(0, end), LocalJson.Default.ControlRequest);
        var reply = request is null ? new ControlReply { Error = "empty request" } : answer(request);
        byte[] bytes = [.. JsonSerializer.SerializeToUtf8Bytes(reply, LocalJson.Default.ControlReply), (byte)'\n'];
        client.Send(bytes);
    }
}
