using System.Diagnostics;
using System.Management.Automation;
using System.Threading.Channels;
using DoSandbox.Sandboxes;

namespace DoSandbox.PowerShell.Pipeline;

/// <summary>
/// A cmdlet whose work is asynchronous. The work runs on the thread pool; whatever it has for the user goes through a bounded channel to the
/// pipeline thread, the only one that may talk to PowerShell. The work ends when the pipeline stops, for whatever reason it does.
/// </summary>
public abstract class AsyncSandboxCmdlet : PSCmdlet, IDisposable
{
    private const int ChannelCapacity = 256;
    private static readonly TimeSpan StopGrace = TimeSpan.FromSeconds(2.5);
    private static readonly TimeSpan LongestEmit = TimeSpan.FromMilliseconds(100);

    private readonly CancellationTokenSource _stop = new();
    private Channel<PipelineItem>? _channel;
    private Task _work = Task.CompletedTask;
    private long _stopStarted;

    /// <summary>All sandboxes of all backends.</summary>
    protected static SandboxDirectory Directory => SandboxDirectory.Shared;

    /// <summary>Cancelled when the pipeline stops.</summary>
    protected CancellationToken StopToken => _stop.Token;

    /// <summary>Runs <paramref name="work"/> and hands on what it writes until it ends. Pipeline thread only.</summary>
    protected void Run(Func<Task> work)
    {
        Start(work);
        Finish();
    }

    /// <summary>Starts <paramref name="work"/>; <see cref="Finish"/> must follow. Pipeline thread only.</summary>
    protected void Start(Func<Task> work)
    {
        var channel = Channel.CreateBounded<PipelineItem>(new BoundedChannelOptions(ChannelCapacity) { SingleReader = true });
        _channel = channel;
        _work = Task.Run(async () =>
        {
            try
            {
                await work().ConfigureAwait(false);
            }
            finally
            {
                channel.Writer.TryComplete();
            }
        });
    }

    /// <summary>Hands on what there is, and goes on doing so until <paramref name="until"/> is complete or the work ends. Pipeline thread only.</summary>
    protected void PumpUntil(Task until)
    {
        Pump(until);
    }

    /// <summary>Hands on everything until the work that was started ends, and throws what it threw. Pipeline thread only.</summary>
    protected void Finish()
    {
        Pump(until: null);
        try
        {
            _work.GetAwaiter().GetResult();
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            throw new PipelineStoppedException();
        }
        catch (Exception exception) when (exception is not (PipelineStoppedException or FlowControlException))
        {
            ThrowTerminatingError(ErrorRecords.From(exception));
        }
        finally
        {
            _channel = null;
            _work = Task.CompletedTask;
        }
    }

    /// <summary>Writes an object to the pipeline. Any thread.</summary>
    protected ValueTask WriteAsync(object value) => SendAsync(PipelineItemKind.Output, value);

    /// <summary>Writes an error that does not end the cmdlet. Any thread.</summary>
    protected ValueTask WriteErrorAsync(ErrorRecord error) => SendAsync(PipelineItemKind.Error, error);

    /// <summary>Writes a warning. Any thread.</summary>
    protected ValueTask WriteWarningAsync(string text) => SendAsync(PipelineItemKind.Warning, text);

    /// <summary>Writes a verbose line. Any thread.</summary>
    protected ValueTask WriteVerboseAsync(string text) => SendAsync(PipelineItemKind.Verbose, text);

    /// <summary>Does something on the pipeline thread, in its turn. Any thread.</summary>
    protected ValueTask InvokeAsync(Action action) => SendAsync(PipelineItemKind.Action, action);

    /// <summary>Asks ShouldProcess on the pipeline thread. Any other thread.</summary>
    protected async Task<bool> ShouldProcessAsync(string target, string action)
    {
        var question = new PipelineQuestion(target, action);
        await SendAsync(PipelineItemKind.Question, question).ConfigureAwait(false);
        return await question.Answer.Task.WaitAsync(StopToken).ConfigureAwait(false);
    }

    /// <summary>Shows a progress record, or drops it when the pipeline is busy. Any thread.</summary>
    internal bool TryWriteProgress(ProgressRecord record) =>
        _channel?.Writer.TryWrite(new PipelineItem(PipelineItemKind.Progress, record)) ?? false;

    /// <summary>Shows a progress record for certain. Any thread.</summary>
    internal ValueTask WriteProgressAsync(ProgressRecord record) => SendAsync(PipelineItemKind.Progress, record);

    /// <summary>
    /// Runs <paramref name="work"/> for one of several items: what fails is written as an error about <paramref name="target"/>, and the next
    /// item has its turn.
    /// </summary>
    protected async Task ForOneAsync(object? target, Func<Task> work)
    {
        try
        {
            await work().ConfigureAwait(false);
        }
        catch (Exception exception) when (!_stop.IsCancellationRequested && exception is not (PipelineStoppedException or FlowControlException))
        {
            await WriteErrorAsync(ErrorRecords.From(exception, target)).ConfigureAwait(false);
        }
    }

    /// <summary>True when nothing is to be done, only told.</summary>
    protected bool IsWhatIf => MyInvocation.BoundParameters.TryGetValue("WhatIf", out var bound)
        ? LanguagePrimitives.IsTrue(bound)
        : LanguagePrimitives.IsTrue(GetVariableValue("WhatIfPreference"));

    /// <summary>
    /// Says whether to go on, as ShouldProcess does, but asks nothing when <paramref name="force"/> is given: -WhatIf and an explicit -Confirm
    /// keep their meaning. Pipeline thread only.
    /// </summary>
    protected bool ShouldProcessOrForce(string target, string action, bool force)
    {
        return force && !IsWhatIf && !MyInvocation.BoundParameters.ContainsKey("Confirm") || ShouldProcess(target, action);
    }

    /// <inheritdoc/>
    protected override void StopProcessing() => BeginStop();

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Ends the work and waits for it, at most 3 seconds.</summary>
    protected virtual void Dispose(bool disposing)
    {
        if (disposing && StopWork())
        {
            _stop.Dispose();
        }
    }

    private async ValueTask SendAsync(PipelineItemKind kind, object value)
    {
        var channel = _channel ?? throw new InvalidOperationException("No work was started.");
        await channel.Writer.WriteAsync(new PipelineItem(kind, value), StopToken).ConfigureAwait(false);
    }

    private void Pump(Task? until)
    {
        if (_channel is not { } channel)
        {
            return;
        }

        // Select-Object -First and -ErrorAction Stop leave by an exception out of Emit: the work must end then too.
        var undisturbed = false;
        var begun = Stopwatch.GetTimestamp();
        try
        {
            while (true)
            {
                // No more than there was: work that writes as fast as this reads would otherwise keep what waits for "until" waiting for ever.
                for (var left = until is null ? int.MaxValue : channel.Reader.Count; left > 0 && channel.Reader.TryRead(out var item); left--)
                {
                    Emit(item);
                    if (until is { IsCompleted: true } && Stopwatch.GetElapsedTime(begun) > LongestEmit)
                    {
                        break;
                    }
                }

                if (until is { IsCompleted: true } || !WaitForMore(channel.Reader, until))
                {
                    break;
                }
            }

            undisturbed = true;
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            throw new PipelineStoppedException();
        }
        finally
        {
            if (!undisturbed)
            {
                StopWork();
            }
        }
    }

    /// <summary>False when the work has ended and nothing is left to read.</summary>
    private bool WaitForMore(ChannelReader<PipelineItem> reader, Task? until)
    {
        var more = reader.WaitToReadAsync(StopToken);
        if (more.IsCompleted)
        {
            return more.GetAwaiter().GetResult();
        }

        var waiting = more.AsTask();
        if (until is null)
        {
            return waiting.GetAwaiter().GetResult();
        }

        _ = Task.WhenAny(waiting, until).GetAwaiter().GetResult();
        return !waiting.IsCompleted || waiting.GetAwaiter().GetResult();
    }

    private void Emit(PipelineItem item)
    {
        switch (item.Kind)
        {
            case PipelineItemKind.Output:
                WriteObject(item.Value, enumerateCollection: false);
                break;
            case PipelineItemKind.Error:
                WriteError((ErrorRecord)item.Value!);
                break;
            case PipelineItemKind.Warning:
                WriteWarning((string)item.Value!);
                break;
            case PipelineItemKind.Verbose:
                WriteVerbose((string)item.Value!);
                break;
            case PipelineItemKind.Progress:
                WriteProgress((ProgressRecord)item.Value!);
                break;
            case PipelineItemKind.Question:
                var question = (PipelineQuestion)item.Value!;
                question.Answer.TrySetResult(ShouldProcess(question.Target, question.Action));
                break;
            case PipelineItemKind.Action:
                ((Action)item.Value!)();
                break;
            default:
                throw new UnreachableException();
        }
    }

    private void BeginStop()
    {
        _ = Interlocked.CompareExchange(ref _stopStarted, Stopwatch.GetTimestamp(), 0);
        _ = _stop.CancelAsync();
    }

    /// <summary>True when the work has ended. All calls together wait no longer than the time for a stop.</summary>
    private bool StopWork()
    {
        if (_work.IsCompleted)
        {
            return true;
        }

        BeginStop();
        var left = StopGrace - Stopwatch.GetElapsedTime(Interlocked.Read(ref _stopStarted));
        return left > TimeSpan.Zero && Task.WhenAny(_work, Task.Delay(left)).GetAwaiter().GetResult() == _work;
    }
}
