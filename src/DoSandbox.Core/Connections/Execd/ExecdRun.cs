using DoSandbox.Commands;
using DoSandbox.Errors;

namespace DoSandbox.Connections.Execd;

/// <summary>
/// One run of a command over one of the ways that an agent offers. It holds what is the same for all of them: starting so that no
/// cancellation loses sight of the command, noticing a silent peer, ending the command when the caller leaves, and naming faults.
/// </summary>
internal abstract class ExecdRun : IAsyncDisposable
{
    /// <summary>How long a command may take to start.</summary>
    private static readonly TimeSpan StartBound = TimeSpan.FromSeconds(60);

    /// <summary>How long ending a command may hold up its caller; removing what it left has to come after it, within <see cref="CleanUpLimit"/>.</summary>
    private static readonly TimeSpan KillBound = TimeSpan.FromSeconds(2);

    /// <summary>An agent says something at least every 5 seconds.</summary>
    private static readonly TimeSpan SilenceBound = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan ProbeBound = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource _abort = new();
    private readonly Timer _watchdog;
    private CancellationTokenRegistration _registration;
    private Task<CommandStarted>? _start;
    private long _startedAt;
    private long _quietSince;
    private int _probing;
    private bool _ended;
    private bool _lost;

    protected ExecdRun(ExecdHttp http, CommandRequest request)
    {
        Http = http;
        Request = request;
        _watchdog = new Timer(static run => ((ExecdRun)run!).Watch(), this, SilenceBound / 3, SilenceBound / 3);
    }

    protected ExecdHttp Http { get; }

    protected CommandRequest Request { get; }

    /// <summary>The agent's id of the command, as soon as it is known.</summary>
    protected string? CommandId { get; set; }

    /// <summary>True once the request may have reached the agent: from then on a fault leaves the outcome unknown.</summary>
    protected bool Sent { get; set; }

    protected TimeSpan Elapsed => TimeSpan.FromMilliseconds(Environment.TickCount64 - _startedAt);

    /// <summary>The next event; null after the last.</summary>
    public async ValueTask<CommandEvent?> NextAsync(CancellationToken cancellationToken)
    {
        if (_ended)
        {
            return null;
        }

        try
        {
            if (_start is null)
            {
                cancellationToken.ThrowIfCancellationRequested();
                _startedAt = Environment.TickCount64;
                // Not by the caller's token: a command whose start was given up half-way could not be ended.
                _start = StartAsync(_abort.Token);
                var started = await _start.WaitAsync(StartBound, cancellationToken).ConfigureAwait(false);
                _registration = cancellationToken.UnsafeRegister(static source => ((CancellationTokenSource)source!).Cancel(), _abort);
                return started;
            }

            Heard();
            var next = await ReadAsync(_abort.Token).ConfigureAwait(false);
            Volatile.Write(ref _quietSince, 0);
            _ended = next is CommandExited;
            return next;
        }
        catch (Exception fault) when (fault is not SandboxException)
        {
            Volatile.Write(ref _quietSince, 0);
            cancellationToken.ThrowIfCancellationRequested();
            throw fault switch
            {
                InvalidDataException or System.Text.Json.JsonException => new SandboxException(SandboxErrorCode.ProtocolViolation,
                    $"The sandbox sent what its protocol does not allow: {SafeText.Clean(fault.Message)}", null, fault) { SandboxId = Http.SandboxId },
                _ when Sent => await Http.ExplainAsync(_lost ? new TimeoutException() : fault,
                    "The command's outcome is unknown", SandboxErrorCode.OutcomeUnknown).ConfigureAwait(false),
                _ => await Http.ExplainAsync(fault, "The command was not started", SandboxErrorCode.Network).ConfigureAwait(false),
            };
        }
    }

    /// <summary>Ends the command unless it has ended, and frees what the run holds.</summary>
    public async ValueTask DisposeAsync()
    {
        if (!_ended && _start is not null)
        {
            using var bound = new CancellationTokenSource(KillBound);
            try
            {
                if (CommandId is null)
                {
                    await _start.WaitAsync(bound.Token).ConfigureAwait(false);
                }

                await KillAsync(bound.Token).ConfigureAwait(false);
            }
            catch (Exception fault) when (IsFault(fault))
            {
                // It never started, it has ended, or the agent is gone: there is nothing left to end.
            }
        }

        await _registration.DisposeAsync().ConfigureAwait(false);
        await _watchdog.DisposeAsync().ConfigureAwait(false);
        await _abort.CancelAsync().ConfigureAwait(false);
        if (_start is not null)
        {
            try
            {
                await _start.ConfigureAwait(false);
            }
            catch (Exception fault) when (IsFault(fault))
            {
                // The caller has had it, or has left.
            }
        }

        await ReleaseAsync(_ended).ConfigureAwait(false);
        _abort.Dispose();
    }

    /// <summary>Sends the request and waits for the sign that the command runs.</summary>
    protected abstract Task<CommandStarted> StartAsync(CancellationToken cancellationToken);

    /// <summary>The next event of a command that runs.</summary>
    protected abstract ValueTask<CommandEvent> ReadAsync(CancellationToken cancellationToken);

    /// <summary>Asks the agent to end the command.</summary>
    protected abstract Task KillAsync(CancellationToken cancellationToken);

    /// <summary>Asks the agent, on another connection, whether it still knows the command. Throws when it does not answer.</summary>
    protected abstract Task ProbeAsync(CancellationToken cancellationToken);

    /// <summary>Frees what the way of running holds.</summary>
    protected abstract ValueTask ReleaseAsync(bool ended);

    /// <summary>To be called for everything that comes from the agent.</summary>
    protected void Heard() => Volatile.Write(ref _quietSince, Environment.TickCount64);

    /// <summary>Sends the request that starts the command.</summary>
    /// <exception cref="SandboxException">CommandNotStarted: the agent refused it; OutcomeUnknown: a gateway gave up on it.</exception>
    protected async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        HttpResponseMessage response;
        try
        {
            Sent = true;
            response = await Http.SendRawAsync(request, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception fault) when (ExecdHttp.WasNeverSent(fault))
        {
            Sent = false;
            throw;
        }

        if (response.IsSuccessStatusCode)
        {
            return response;
        }

        using (response)
        {
            var status = (int)response.StatusCode;
            var (code, message) = await ExecdHttp.ReadErrorBodyAsync(response, cancellationToken).ConfigureAwait(false);
            if (status is 502 or 504 || (code is null && status is 503 or >= 520))
            {
                // A gateway that got no answer may have passed the request on before.
                throw await Http.ExplainAsync(new IOException($"a gateway on the way to the sandbox answered with status {status}."),
                    "The command's outcome is unknown", SandboxErrorCode.OutcomeUnknown).ConfigureAwait(false);
            }

            Sent = false;
            var refused = Http.ErrorFor(status, code, message, "start the command", SandboxErrorCode.CommandNotStarted);
            throw refused.Code is SandboxErrorCode.FileNotFound or SandboxErrorCode.NotADirectory
                || (refused.Code is SandboxErrorCode.PermissionDenied && status is not (401 or 403))
                ? new SandboxException(SandboxErrorCode.CommandNotStarted, refused.Message, null, refused) { SandboxId = Http.SandboxId }
                : refused;
        }
    }

    private static bool IsFault(Exception fault) =>
        fault is SandboxException or HttpRequestException or IOException or OperationCanceledException or TimeoutException
            or System.Net.WebSockets.WebSocketException or System.Text.Json.JsonException or InvalidDataException or ObjectDisposedException;

    private async void Watch()
    {
        try
        {
            var quietSince = Volatile.Read(ref _quietSince);
            if (quietSince == 0 || Interlocked.Exchange(ref _probing, 1) != 0)
            {
                return;
            }

            try
            {
                if (Environment.TickCount64 - quietSince >= SilenceBound.TotalMilliseconds)
                {
                    using var bound = new CancellationTokenSource(ProbeBound);
                    await ProbeAsync(bound.Token).ConfigureAwait(false);
                }

                return;
            }
            catch (Exception fault) when (IsFault(fault))
            {
                if (Volatile.Read(ref _quietSince) != quietSince)
                {
                    return;
                }
            }
            finally
            {
                Volatile.Write(ref _probing, 0);
            }

            _lost = true;
            await _abort.CancelAsync().ConfigureAwait(false);
        }
        catch (ObjectDisposedException)
        {
            // The run ended meanwhile.
        }
    }
}
