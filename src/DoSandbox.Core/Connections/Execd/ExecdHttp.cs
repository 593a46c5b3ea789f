using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using DoSandbox.Errors;
using DoSandbox.Wire.Execd;

namespace DoSandbox.Connections.Execd;

/// <summary>HTTP/1.1 to one agent: requests with bounds, and every fault turned into a <see cref="SandboxException"/>.</summary>
internal sealed class ExecdHttp : IDisposable
{
    /// <summary>How long an answer without a body of its own may take.</summary>
    public static readonly TimeSpan AnswerBound = TimeSpan.FromSeconds(30);

    /// <summary>Most bytes of an error body that are looked at.</summary>
    private const int MaxErrorBody = 64 * 1024;

    private static readonly TimeSpan ExplainBound = TimeSpan.FromSeconds(5);

    private readonly Uri _base;
    private readonly IReadOnlyDictionary<string, string> _headers;
    private readonly Func<CancellationToken, Task<SandboxException?>>? _explainLoss;

    public ExecdHttp(SocketsHttpHandler handler, Uri address, IReadOnlyDictionary<string, string> headers, string? sandboxId,
        Func<CancellationToken, Task<SandboxException?>>? explainLoss)
    {
        // A base with a path keeps it: https://host/proxy/44772 and /ping make https://host/proxy/44772/ping.
        _base = new Uri(address.AbsoluteUri.TrimEnd('/'));
        _headers = headers;
        _explainLoss = explainLoss;
        SandboxId = sandboxId;
        Invoker = new HttpMessageInvoker(handler, disposeHandler: true);
    }

    public string? SandboxId { get; }

    /// <summary>Also carries websockets.</summary>
    public HttpMessageInvoker Invoker { get; }

    public IReadOnlyDictionary<string, string> Headers => _headers;

    /// <summary>A handler with the bounds that every agent connection has.</summary>
    public static SocketsHttpHandler CreateHandler(string? unixSocket)
    {
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            AutomaticDecompression = DecompressionMethods.None,
            PooledConnectionIdleTimeout = TimeSpan.FromMinutes(2),
            ConnectTimeout = TimeSpan.FromSeconds(10),
            MaxResponseHeadersLength = 64,
            // What is left of a stream that was given up may be without end: the connection is closed instead.
            MaxResponseDrainSize = 0,
            ActivityHeadersPropagator = null,
        };
        if (unixSocket is not null)
        {
            handler.UseProxy = false;
            var endpoint = new UnixDomainSocketEndPoint(unixSocket);
            handler.ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await socket.ConnectAsync(endpoint, cancellationToken).ConfigureAwait(false);
                    return new NetworkStream(socket, ownsSocket: true);
                }
                catch
                {
                    socket.Dispose();
                    throw;
                }
            };
        }

        return handler;
    }

    public Uri UriOf(string pathAndQuery, string? scheme = null)
    {
        var uri = new Uri(_base.AbsoluteUri.TrimEnd('/') + pathAndQuery);
        return scheme is null ? uri : new UriBuilder(uri) { Scheme = scheme, Port = uri.IsDefaultPort ? -1 : uri.Port }.Uri;
    }

    /// <summary>"ws" or "wss".</summary>
    public string WebSocketScheme => string.Equals(_base.Scheme, Uri.UriSchemeHttps, StringComparison.OrdinalIgnoreCase) ? "wss" : "ws";

    public HttpRequestMessage Request(HttpMethod method, string pathAndQuery, HttpContent? content = null)
    {
        var request = new HttpRequestMessage(method, UriOf(pathAndQuery)) { Content = content };
        foreach (var (name, value) in _headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        return request;
    }

    public static HttpContent Json<T>(T value, JsonTypeInfo<T> type)
    {
        var content = new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(value, type));
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        return content;
    }

    /// <summary>Sends and returns once the headers of the answer are there. Its faults are the handler's own.</summary>
    public Task<HttpResponseMessage> SendRawAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
        Invoker.SendAsync(request, cancellationToken);

    /// <summary>Sends a short request and reads its short answer, all within one bound.</summary>
    /// <param name="request">Disposed here.</param>
    /// <param name="what">What is being done, for the message: "look at /a/b".</param>
    /// <param name="maxBody">Most bytes of the answer.</param>
    /// <param name="bound">How long it may take.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="SandboxException">The answer is an error, or there is none.</exception>
    public async Task<byte[]> CallAsync(HttpRequestMessage request, string what, int maxBody, TimeSpan bound, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(bound);
        try
        {
            using (request)
            using (var response = await SendRawAsync(request, limit.Token).ConfigureAwait(false))
            {
                if (!response.IsSuccessStatusCode)
                {
                    throw await ReadErrorAsync(response, what, SandboxErrorCode.ProtocolViolation, limit.Token).ConfigureAwait(false);
                }

                return await ReadBodyAsync(response, maxBody, limit.Token).ConfigureAwait(false);
            }
        }
        catch (Exception fault) when (fault is not SandboxException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw await ExplainAsync(fault, $"Could not {what}", SandboxErrorCode.Network).ConfigureAwait(false);
        }
    }

    /// <summary>The whole body of an answer.</summary>
    /// <exception cref="SandboxException">ProtocolViolation: it is larger than <paramref name="max"/>.</exception>
    public static async Task<byte[]> ReadBodyAsync(HttpResponseMessage response, int max, CancellationToken cancellationToken)
    {
        var stream = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            var buffer = new byte[Math.Clamp(response.Content.Headers.ContentLength ?? 4096, 256, Math.Min(max, 1024 * 1024) + 1L)];
            var length = 0;
            while (true)
            {
                var read = await stream.ReadAsync(buffer.AsMemory(length), cancellationToken).ConfigureAwait(false);
                length += read;
                if (read == 0)
                {
                    return buffer.Length == length ? buffer : buffer[..length];
                }

                if (length > max)
                {
                    throw new SandboxException(SandboxErrorCode.ProtocolViolation, $"The sandbox sent an answer of more than {max} bytes.");
                }

                if (length == buffer.Length)
                {
                    Array.Resize(ref buffer, (int)Math.Min(buffer.Length * 2L, max + 1L));
                }
            }
        }
    }

    /// <summary>Turns an error answer into an exception. Nothing in the body is trusted to be well-formed, short or printable.</summary>
    public async Task<SandboxException> ReadErrorAsync(HttpResponseMessage response, string what, SandboxErrorCode fallback, CancellationToken cancellationToken)
    {
        var (code, message) = await ReadErrorBodyAsync(response, cancellationToken).ConfigureAwait(false);
        return ErrorFor((int)response.StatusCode, code, message, what, fallback);
    }

    /// <summary>The code and message of an error answer, as <see cref="ParseError"/> tells them.</summary>
    public static async Task<(string? Code, string Message)> ReadErrorBodyAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        try
        {
            var stream = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
            var buffer = new byte[MaxErrorBody];
            var length = await stream.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, cancellationToken).ConfigureAwait(false);
            return ParseError(buffer.AsSpan(0, length));
        }
        catch (Exception fault) when (fault is IOException or HttpRequestException)
        {
            // The status alone has to do.
            return (null, "");
        }
    }

    /// <summary>The code and message of an error body; the text itself where it is no such body.</summary>
    public static (string? Code, string Message) ParseError(ReadOnlySpan<byte> body)
    {
        try
        {
            if (JsonSerializer.Deserialize(body, ExecdJson.Default.ErrorBody) is { } error && (error.Code ?? error.Message) is not null)
            {
                return (error.Code, error.Message ?? "");
            }
        }
        catch (JsonException)
        {
            // A proxy on the way answers in its own words.
        }

        return (null, Encoding.UTF8.GetString(body));
    }

    /// <summary>The exception for an error answer, by the words that execd (Go's and our own agent's) uses for the system's errors.</summary>
    public SandboxException ErrorFor(int status, string? code, string message, string what, SandboxErrorCode fallback)
    {
        var kind = status switch
        {
            401 or 403 when code is null => SandboxErrorCode.PermissionDenied,
            _ when Says("permission denied") || Says("operation not permitted") || Says("read-only file system") => SandboxErrorCode.PermissionDenied,
            _ when Says("no space left") || Says("disk quota exceeded") => SandboxErrorCode.DiskFull,
            _ when Says("not a directory") => SandboxErrorCode.NotADirectory,
            _ when string.Equals(code, ExecdErrorCodes.FileNotFound, StringComparison.Ordinal) => SandboxErrorCode.FileNotFound,
            _ when Says("is a directory") => SandboxErrorCode.IsADirectory,
            _ when Says("no such file or directory") => SandboxErrorCode.FileNotFound,
            _ when Says("file exists") || Says("already exists") || Says("exists already") => SandboxErrorCode.FileExists,
            _ when Says("file name too long") => SandboxErrorCode.InvalidArgument,
            _ when string.Equals(code, ExecdErrorCodes.NotSupported, StringComparison.Ordinal) => SandboxErrorCode.NotSupported,
            502 or 503 or 504 => SandboxErrorCode.Network,
            _ => fallback,
        };
        var said = SafeText.Clean(message);
        return new SandboxException(kind, $"Could not {what}: {(said.Length > 0 ? said : $"the sandbox answered with status {status}")}.".Replace("..", ".", StringComparison.Ordinal))
        {
            SandboxId = SandboxId,
        };

        bool Says(string words) => message.Contains(words, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>Says why the agent is not to be reached: what the backend knows of it, else what was seen here.</summary>
    /// <param name="fault">What was seen here.</param>
    /// <param name="what">The beginning of the sentence, without a full stop.</param>
    /// <param name="code">The code where the backend knows nothing.</param>
    public async Task<SandboxException> ExplainAsync(Exception fault, string what, SandboxErrorCode code)
    {
        if (_explainLoss is not null)
        {
            try
            {
                using var bound = new CancellationTokenSource(ExplainBound);
                if (await _explainLoss(bound.Token).WaitAsync(ExplainBound).ConfigureAwait(false) is { } known)
                {
                    return new SandboxException(known.Code, $"{what}: {known.Message}", known.Advice, fault) { SandboxId = known.SandboxId ?? SandboxId };
                }
            }
            catch (Exception unknown) when (unknown is SandboxException or OperationCanceledException or TimeoutException or IOException)
            {
                // The backend cannot tell: what was seen here has to do.
            }
        }

        return new SandboxException(code, $"{what}: {Describe(fault)}", null, fault) { SandboxId = SandboxId };
    }

    /// <summary>True when a request cannot have reached the agent.</summary>
    public static bool WasNeverSent(Exception fault) => fault is
        HttpRequestException
        {
            HttpRequestError: HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError
                or HttpRequestError.ProxyTunnelError,
        }
        or OperationCanceledException { InnerException: TimeoutException };

    public void Dispose() => Invoker.Dispose();

    private static string Describe(Exception fault) => fault switch
    {
        OperationCanceledException or TimeoutException => "the sandbox did not answer in time.",
        _ when Find<SocketException>(fault) is { } socket => $"the connection to the sandbox failed ({socket.SocketErrorCode}).",
        EndOfStreamException or HttpIOException or HttpRequestException { HttpRequestError: HttpRequestError.ResponseEnded } => "the connection to the sandbox was closed.",
        _ => SafeText.Clean(fault.Message),
    };

    private static T? Find<T>(Exception? fault)
        where T : Exception
    {
        for (; fault is not null; fault = fault.InnerException)
        {
            if (fault is T found)
            {
                return found;
            }
        }

        return null;
    }
}
