using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using DoSandbox.Commands;
using DoSandbox.Errors;
using DoSandbox.Files;
using DoSandbox.Wire.Run;

namespace DoSandbox.Connections.Execd;

/// <summary>
/// A way into a sandbox that speaks execd: our own agent, and every OpenSandbox. What our agent can do beyond execd is used where it is
/// announced, and made up for by execd's own means where it is not.
/// </summary>
public sealed class ExecdConnection : ISandboxConnection
{
    private static readonly TimeSpan PingBound = TimeSpan.FromSeconds(15);

    private readonly ExecdHttp _http;
    private readonly ExecdFileSystem _files;
    private volatile Extensions? _extensions;

    private ExecdConnection(ExecdHttp http)
    {
        _http = http;
        _files = new ExecdFileSystem(this, http);
    }

    /// <inheritdoc/>
    public ISandboxFileSystem Files => _files;

    /// <summary>A connection over a unix socket. Nothing is sent yet.</summary>
    /// <param name="path">The socket; at most 107 bytes long, as the system demands.</param>
    /// <param name="sandboxId">For errors.</param>
    /// <param name="explainLoss">Asked why the agent is not to be reached: what the backend knows of the sandbox's end, or null.</param>
    /// <exception cref="SandboxException">StateFolder: the path is too long.</exception>
    public static ExecdConnection ForUnixSocket(string path, string? sandboxId = null, Func<CancellationToken, Task<SandboxException?>>? explainLoss = null)
    {
        if (Encoding.UTF8.GetByteCount(path) > 107)
        {
            throw new SandboxException(SandboxErrorCode.StateFolder, $"The path of the sandbox's socket is longer than a socket's path may be: {path}",
                "Name a state folder with a shorter path in DOSANDBOX_HOME.") { SandboxId = sandboxId };
        }

        return new ExecdConnection(new ExecdHttp(ExecdHttp.CreateHandler(path), new Uri("http://localhost"), new Dictionary<string, string>(), sandboxId, explainLoss));
    }

    /// <summary>A connection by HTTP or HTTPS. Nothing is sent yet.</summary>
    /// <param name="address">The agent's address; a path in it is kept in front of every route.</param>
    /// <param name="headers">Sent with every request: an access token, or what a gateway asks for.</param>
    /// <param name="sandboxId">For errors.</param>
    /// <param name="explainLoss">As for <see cref="ForUnixSocket"/>.</param>
    public static ExecdConnection ForUri(Uri address, IReadOnlyDictionary<string, string>? headers = null, string? sandboxId = null,
        Func<CancellationToken, Task<SandboxException?>>? explainLoss = null)
    {
        if (!address.IsAbsoluteUri || (address.Scheme != Uri.UriSchemeHttp && address.Scheme != Uri.UriSchemeHttps))
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, $"'{SafeText.Clean(address.OriginalString)}' is no address of an agent.", "Use http://host:port or https://host.");
        }

        return new ExecdConnection(new ExecdHttp(ExecdHttp.CreateHandler(null), address, headers ?? new Dictionary<string, string>(), sandboxId, explainLoss));
    }

    /// <inheritdoc/>
    public async Task PingAsync(CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(PingBound);
        try
        {
            using var request = _http.Request(HttpMethod.Get, "/ping");
            using var response = await _http.SendRawAsync(request, limit.Token).ConfigureAwait(false);
            if (!response.IsSuccessStatusCode)
            {
                throw await _http.ReadErrorAsync(response, "reach the sandbox", SandboxErrorCode.ProtocolViolation, limit.Token).ConfigureAwait(false);
            }

            await ExecdHttp.ReadBodyAsync(response, 64 * 1024, limit.Token).ConfigureAwait(false);
            var announced = response.Headers.TryGetValues(AgentExtensions.Header, out var values)
                ? string.Join(',', values).Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
                : [];
            _extensions = new Extensions(announced.Contains(AgentExtensions.Run, StringComparer.Ordinal),
                announced.Contains(AgentExtensions.PtyInput, StringComparer.Ordinal),
                announced.Contains(AgentExtensions.ExactPaths, StringComparer.Ordinal));
        }
        catch (Exception fault) when (fault is not SandboxException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw await _http.ExplainAsync(fault, "Could not reach the sandbox", SandboxErrorCode.Network).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<CommandEvent> RunAsync(CommandRequest request, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        request.Validate();
        var run = await PrepareAsync(request, cancellationToken).ConfigureAwait(false);
        await using (run.ConfigureAwait(false))
        {
            while (await run.NextAsync(cancellationToken).ConfigureAwait(false) is { } next)
            {
                yield return next;
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask<bool> HasExactOutputAsync(CancellationToken cancellationToken) =>
        (await GetExtensionsAsync(cancellationToken).ConfigureAwait(false)).Run;

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _http.Dispose();
        return ValueTask.CompletedTask;
    }

    /// <summary>What the agent announced; asked once.</summary>
    internal async ValueTask<Extensions> GetExtensionsAsync(CancellationToken cancellationToken)
    {
        if (_extensions is null)
        {
            await PingAsync(cancellationToken).ConfigureAwait(false);
        }

        return _extensions!;
    }

    private async Task<ExecdRun> PrepareAsync(CommandRequest request, CancellationToken cancellationToken)
    {
        var extensions = await GetExtensionsAsync(cancellationToken).ConfigureAwait(false);
        if (extensions.Run)
        {
            if (request.Stdin is null)
            {
                return new FramedRun(_http, request, request.Command, default);
            }

            var stdin = await ExactContent.OfAsync(request.Stdin, cancellationToken).ConfigureAwait(false);
            if (stdin.CanSeek && stdin.Length - stdin.Position is >= 0 and <= AgentExtensions.MaxStdin and var length)
            {
                var input = new byte[length];
                var read = await stdin.ReadAtLeastAsync(input, input.Length, throwOnEndOfStream: false, cancellationToken).ConfigureAwait(false);
                return new FramedRun(_http, request, request.Command, input.AsMemory(0, read));
            }

            if (extensions.PtyInput)
            {
                return new PtyRun(_http, request, stdin);
            }

            return new FramedRun(_http, request, await StageAsync(request.Command, stdin, cancellationToken).ConfigureAwait(false), default);
        }

        if (request.WorkingDirectory is { } directory && (directory.Contains('$', StringComparison.Ordinal) || directory.StartsWith('~')))
        {
            throw new SandboxException(SandboxErrorCode.NotSupported, $"The sandbox's agent takes $ and ~ in a path for a variable: {SafeText.Clean(directory, 300)}",
                "Begin the command with cd instead.") { SandboxId = _http.SandboxId };
        }

        var command = ExportsOf(request) + request.Command;
        return new EventStreamRun(_http, request, request.Stdin is null ? command : await StageAsync(command, request.Stdin, cancellationToken).ConfigureAwait(false));
    }

    // Once the shell has the file open its name is not needed: it is gone before the command begins, however that ends.
    private async Task<string> StageAsync(string command, Stream stdin, CancellationToken cancellationToken)
    {
        using var cleanUp = new CleanUpLimit(cancellationToken);
        var path = $"/tmp/.dosandbox-stdin-{Guid.NewGuid():N}";
        try
        {
            await _files.UploadAsync(path, stdin, UnixFileMode.UserRead | UnixFileMode.UserWrite, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await cleanUp.RunAsync(bound => _files.DeleteAsync(path, bound)).ConfigureAwait(false);
            throw;
        }

        return $"exec < {path} || exit 126; rm -f {path}; {command}";
    }

    private static string ExportsOf(CommandRequest request)
    {
        var exports = new StringBuilder();
        foreach (var (name, value) in request.Environment)
        {
            if (!name.All(static letter => char.IsAsciiLetterOrDigit(letter) || letter == '_') || char.IsAsciiDigit(name[0]))
            {
                throw new SandboxException(SandboxErrorCode.NotSupported, $"The sandbox's agent cannot set an environment variable named '{SafeText.Clean(name)}'.",
                    "Use letters, digits and _ for its name.");
            }

            exports.Append("export ").Append(name).Append('=').Append(ShellQuote.Quote(value)).Append("; ");
        }

        return exports.ToString();
    }

    /// <summary>What an agent can do beyond execd.</summary>
    internal sealed record Extensions(bool Run, bool PtyInput, bool ExactPaths);
}
