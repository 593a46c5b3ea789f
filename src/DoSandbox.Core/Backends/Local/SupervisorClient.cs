using System.Diagnostics;
using System.Net.Sockets;
using System.Text.Json;
using DoSandbox.Errors;
using DoSandbox.Wire.Local;

namespace DoSandbox.Backends.Local;

/// <summary>Starts supervisors and talks to them.</summary>
internal static class SupervisorClient
{
    private const int MaxReply = 1024 * 1024;
    private const int MaxError = 4096;

    /// <summary>Starts a supervisor and waits until its sandbox runs. It goes on when this process ends.</summary>
    /// <exception cref="SandboxException">What the supervisor says; ReadyTimeout; CreateFailed when it died. Nothing of it runs then.</exception>
    public static async Task<LocalSandboxRecord> StartAsync(string agent, SuperviseRequest request, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var process = Start(agent);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(timeout);
        try
        {
            await JsonSerializer.SerializeAsync(process.StandardInput.BaseStream, request, LocalJson.Default.SuperviseRequest, deadline.Token).ConfigureAwait(false);
            process.StandardInput.Close();
            var errors = ReadErrorsAsync(process, deadline.Token);
            var line = await ReadLineAsync(process.StandardOutput.BaseStream, deadline.Token).ConfigureAwait(false);
            if (line.Length == 0)
            {
                throw new SandboxException(SandboxErrorCode.CreateFailed, $"The supervisor ended before the sandbox ran. {SafeText.Clean(await errors.ConfigureAwait(false))}".TrimEnd());
            }

            var reply = JsonSerializer.Deserialize(line, LocalJson.Default.SuperviseReply);
            return reply?.Sandbox ?? throw ToException(reply);
        }
        catch (Exception exception)
        {
            // Its end takes bubblewrap and the sandbox with it.
            Kill(process);
            if (exception is OperationCanceledException && !cancellationToken.IsCancellationRequested)
            {
                throw new SandboxException(SandboxErrorCode.ReadyTimeout, $"The sandbox was not ready within {timeout.TotalSeconds:0.#} s.", inner: exception);
            }

            if (exception is IOException or JsonException)
            {
                throw new SandboxException(SandboxErrorCode.CreateFailed, $"The supervisor broke off: {exception.Message}", inner: exception);
            }

            throw;
        }
    }

    /// <summary>Sends one line to a sandbox's supervisor and returns its answer; null when no supervisor answers.</summary>
    public static async Task<ControlReply?> AskAsync(string socketPath, ControlRequest request, TimeSpan timeout, CancellationToken cancellationToken)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(timeout);
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(socketPath), deadline.Token).ConfigureAwait(false);
            await using var stream = new NetworkStream(socket);
            byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(request, LocalJson.Default.ControlRequest), (byte)'\n'];
            await stream.WriteAsync(line, deadline.Token).ConfigureAwait(false);
            var answer = await ReadLineAsync(stream, deadline.Token).ConfigureAwait(false);
            return answer.Length == 0 ? null : JsonSerializer.Deserialize(answer, LocalJson.Default.ControlReply);
        }
        catch (Exception exception) when (exception is SocketException or IOException or JsonException
            || (exception is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return null;
        }
    }

    private static Process Start(string agent)
    {
        var start = new ProcessStartInfo(agent)
        {
            ArgumentList = { "supervise" },
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
            WorkingDirectory = "/",
        };
        // The supervisor outlives this process and needs nothing of its environment, which may hold secrets.
        start.Environment.Clear();
        try
        {
            return Process.Start(start) ?? throw new SandboxException(SandboxErrorCode.CreateFailed, $"{agent} could not be started.");
        }
        catch (System.ComponentModel.Win32Exception exception)
        {
            throw new SandboxException(SandboxErrorCode.CreateFailed, $"{agent} could not be started: {exception.Message}", inner: exception);
        }
    }

    private static void Kill(Process process)
    {
        try
        {
            process.Kill();
            process.WaitForExit(TimeSpan.FromSeconds(5));
        }
        catch (InvalidOperationException)
        {
            // It ended by itself.
        }
    }

    private static SandboxException ToException(SuperviseReply? reply) =>
        new(Enum.TryParse<SandboxErrorCode>(reply?.ErrorCode, out var code) ? code : SandboxErrorCode.CreateFailed,
            SafeText.Clean(reply?.Error ?? "The supervisor gave no reason."), reply?.Advice);

    private static async Task<string> ReadErrorsAsync(Process process, CancellationToken cancellationToken)
    {
        var buffer = new char[MaxError];
        var count = await process.StandardError.ReadBlockAsync(buffer, cancellationToken).ConfigureAwait(false);
        return new string(buffer, 0, count);
    }

    private static async Task<byte[]> ReadLineAsync(Stream stream, CancellationToken cancellationToken)
    {
        using var line = new MemoryStream();
        var buffer = new byte[4096];
        int count;
        while (line.Length < MaxReply && (count = await stream.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
        {
            var end = buffer.AsSpan(0, count).IndexOf((byte)'\n');
            line.Write(buffer, 0, end < 0 ? count : end);
            if (end >= 0)
            {
                break;
            }
        }

        return line.ToArray();
    }
}
