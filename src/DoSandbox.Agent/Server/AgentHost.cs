using DoSandbox.Agent.Native;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;

namespace DoSandbox.Agent.Server;

/// <summary>
/// Kestrel and nothing around it: no host, no configuration, no content root, no logging. What is not there cannot be
/// planted by user code in a file or a variable, and costs no memory.
/// </summary>
internal sealed class AgentHost
{
    private const int MaxConnections = 1024;
    private const int MaxRequestLine = 128 * 1024;
    private const long MaxBody = 16 * 1024 * 1024;
    private const long ResponseBuffer = 512 * 1024;
    private const uint OwnerOnly = 0x7f; // umask 0177

    private readonly AgentOptions _options;
    private readonly Dispatcher _dispatcher;

    public AgentHost(AgentOptions options, Dispatcher dispatcher)
    {
        _options = options;
        _dispatcher = dispatcher;
    }

    /// <summary>Begins to serve; returns once connections are accepted.</summary>
    public async Task StartAsync()
    {
        var options = new KestrelServerOptions
        {
            AddServerHeader = false,
            AllowSynchronousIO = false,
            ApplicationServices = NoServices.Instance,
        };
        options.Limits.MaxConcurrentConnections = MaxConnections;
        options.Limits.MaxConcurrentUpgradedConnections = MaxConnections;
        options.Limits.MaxRequestLineSize = MaxRequestLine;
        options.Limits.MaxRequestBufferSize = 2 * MaxRequestLine;
        options.Limits.MaxRequestBodySize = MaxBody;
        options.Limits.MaxResponseBufferSize = ResponseBuffer;
        options.Limits.KeepAliveTimeout = TimeSpan.FromMinutes(30);

        // A client may read or send as slowly as it likes: that is what backpressure is for.
        options.Limits.MinRequestBodyDataRate = null;
        options.Limits.MinResponseDataRate = null;
        if (_options.ListenFd is { } fd)
        {
            options.ListenHandle((ulong)fd, listen => listen.Protocols = HttpProtocols.Http1);
        }
        else
        {
            File.Delete(_options.SocketPath!);
            options.ListenUnixSocket(_options.SocketPath!, listen => listen.Protocols = HttpProtocols.Http1);
        }

        var transport = new SocketTransportFactory(
            Options.Create(new SocketTransportOptions
            {
                // Straight to the thread pool: one hop less for each request.
                IOQueueCount = 0,
                MaxReadBufferSize = 1024 * 1024,
                MaxWriteBufferSize = ResponseBuffer,
                // A buffer of 4 KiB for each idle connection is nothing to wait for.
                WaitForDataBeforeAllocatingBuffer = true,
            }),
            NullLoggerFactory.Instance);
        var server = new KestrelServer(Options.Create(options), transport, NullLoggerFactory.Instance);
        var before = Libc.Umask(OwnerOnly);
        try
        {
            await server.StartAsync(new Application(_dispatcher), CancellationToken.None).ConfigureAwait(false);
        }
        finally
        {
            _ = Libc.Umask(before);
        }
    }

    private sealed class Application(Dispatcher dispatcher) : IHttpApplication<HttpContext>
    {
        public HttpContext CreateContext(IFeatureCollection contextFeatures) => new DefaultHttpContext(contextFeatures);

        public Task ProcessRequestAsync(HttpContext context) => dispatcher.HandleAsync(context);

        public void DisposeContext(HttpContext context, Exception? exception)
        {
        }
    }

    private sealed class NoServices : IServiceProvider
    {
        public static NoServices Instance { get; } = new();

        public object? GetService(Type serviceType) => null;
    }
}
