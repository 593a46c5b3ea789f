using System.Security.Cryptography;
using System.Text;
using DoSandbox.Agent.Files;
using DoSandbox.Agent.Native;
using DoSandbox.Wire.Execd;
using DoSandbox.Wire.Run;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary>Finds the handler of a request, and turns whatever goes wrong into an error answer.</summary>
internal sealed class Dispatcher
{
    private const string Extensions = $"{AgentExtensions.Run}, {AgentExtensions.PtyInput}, {AgentExtensions.ExactPaths}, {AgentExtensions.SessionRun}";

    private readonly byte[]? _token;
    private readonly IdleTrimmer _idle = new();
    private readonly CommandRoutes _commands;
    private readonly RunRoutes _run;
    private readonly FileRoutes _files;
    private readonly DirectoryRoutes _directories;
    private readonly PtyRoutes _pty;
    private readonly SessionRoutes _sessions;
    private readonly MetricsRoutes _metrics = new();

    /// <param name="registry">The commands of this agent.</param>
    /// <param name="token">The access token every request must carry, or null.</param>
    public Dispatcher(CommandRegistry registry, byte[]? token)
    {
        _token = token;
        var sessions = new ShellSessions(registry);
        _sessions = new SessionRoutes(sessions);
        _commands = new CommandRoutes(registry, sessions);
        _run = new RunRoutes(registry, sessions);
        _pty = new PtyRoutes(registry);
        var accounts = new Accounts();
        _files = new FileRoutes(registry.Paths, accounts);
        _directories = new DirectoryRoutes(registry.Paths, accounts);
    }

    /// <summary>Answers one request. Never throws, so nothing that a client sends can end the agent.</summary>
    public async Task HandleAsync(HttpContext context)
    {
        _idle.Enter();
        try
        {
            if (!IsAllowed(context))
            {
                context.Response.StatusCode = StatusCodes.Status401Unauthorized;
                context.Response.ContentType = Messages.Json;
                await context.Response.WriteAsync(
                    "{\"error\":\"Unauthorized: invalid or missing header X-EXECD-ACCESS-TOKEN\"}", context.RequestAborted).ConfigureAwait(false);
                return;
            }

            await RouteAsync(context).ConfigureAwait(false);
        }
        catch (RequestException e)
        {
            await AnswerAsync(context, e).ConfigureAwait(false);
        }
        catch (LinuxException e)
        {
            await AnswerAsync(context, RequestException.From(e)).ConfigureAwait(false);
        }
        catch (BadHttpRequestException e)
        {
            await AnswerAsync(context, new RequestException(e.StatusCode, ExecdErrorCodes.InvalidRequestBody, e.Message)).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (context.RequestAborted.IsCancellationRequested)
        {
            // The client is gone; nobody is left to answer.
        }
        catch (Exception e)
        {
            await AnswerAsync(context, RequestException.Failed($"{e.GetType().Name}: {e.Message}")).ConfigureAwait(false);
        }
        finally
        {
            _idle.Leave();
        }
    }

    /// <summary>The answer to a path that nothing serves.</summary>
    public static RequestException NoRoute(HttpContext context) =>
        new(404, ExecdErrorCodes.NotSupported, $"There is no {context.Request.Method} {context.Request.Path} here.");

    private static async Task AnswerAsync(HttpContext context, RequestException error)
    {
        if (context.Response.HasStarted)
        {
            // Too late for a status: a broken connection is the only way left to say that this answer is not whole.
            context.Abort();
            return;
        }

        try
        {
            context.Response.Headers.Clear();
            await Messages.WriteErrorAsync(context, error.Status, error.Code, error.Message).ConfigureAwait(false);
        }
        catch (Exception e) when (e is OperationCanceledException or IOException)
        {
            context.Abort();
        }
    }

    private bool IsAllowed(HttpContext context)
    {
        if (_token is null)
        {
            return true;
        }

        var given = Encoding.UTF8.GetBytes(context.Request.Headers[ExecdHeaders.AccessToken].ToString());
        return CryptographicOperations.FixedTimeEquals(given, _token);
    }

    private Task RouteAsync(HttpContext context)
    {
        var path = context.Request.Path.Value ?? "/";
        return (context.Request.Method, path) switch
        {
            ("GET" or "HEAD", "/ping") => Ping(context),
            ("POST", AgentExtensions.RunRoute) => _run.RunAsync(context),
            _ when IsUnder(path, "/files") => _files.HandleAsync(context, path),
            _ when IsUnder(path, "/directories") => _directories.HandleAsync(context, path),
            _ when IsUnder(path, "/pty") => _pty.HandleAsync(context, path),
            ("GET", "/metrics") => _metrics.GetAsync(context),
            ("GET", "/metrics/watch") => _metrics.WatchAsync(context),
            _ when IsUnder(path, "/session") => _sessions.HandleAsync(context, path),
            _ when IsUnder(path, "/command") => _commands.HandleAsync(context, path),
            _ => throw NoRoute(context),
        };
    }

    private static bool IsUnder(string path, string root) =>
        path.StartsWith(root, StringComparison.Ordinal) && (path.Length == root.Length || path[root.Length] == '/');

    private static Task Ping(HttpContext context)
    {
        context.Response.Headers[AgentExtensions.Header] = Extensions;
        context.Response.ContentLength = 0;
        return Task.CompletedTask;
    }
}
