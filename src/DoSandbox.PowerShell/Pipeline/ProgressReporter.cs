using System.Diagnostics;
using System.Management.Automation;
using DoSandbox.Sandboxes;

namespace DoSandbox.PowerShell.Pipeline;

/// <summary>
/// Shows steps as progress records: nothing in the first second, then at most five a second, and a closing one whenever any was shown.
/// Thread-safe.
/// </summary>
internal sealed class ProgressReporter(AsyncSandboxCmdlet cmdlet) : IProgress<SandboxProgress>, IAsyncDisposable
{
    private const int FirstAfterMs = 1000;
    private const int BetweenMs = 200;
    private static int s_lastId;

    private readonly int _id = Interlocked.Increment(ref s_lastId);
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private long _nextMs = FirstAfterMs;
    private string? _activity;

    public void Report(SandboxProgress value)
    {
        var now = _clock.ElapsedMilliseconds;
        var next = Interlocked.Read(ref _nextMs);
        if (now < next || Interlocked.CompareExchange(ref _nextMs, now + BetweenMs, next) != next)
        {
            return;
        }

        var record = new ProgressRecord(_id, Display.OneLine(value.Activity), Display.OneLine(value.Status is { Length: > 0 } status ? status : "Working"))
        {
            PercentComplete = value.PercentComplete is { } percent ? Math.Clamp(percent, 0, 100) : -1,
        };
        if (cmdlet.TryWriteProgress(record))
        {
            _activity = record.Activity;
        }
    }

    public async ValueTask DisposeAsync()
    {
        Interlocked.Exchange(ref _nextMs, long.MaxValue);
        if (_activity is { } activity)
        {
            try
            {
                await cmdlet.WriteProgressAsync(new ProgressRecord(_id, activity, "Done") { RecordType = ProgressRecordType.Completed }).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                // The pipeline stops; PowerShell clears its progress itself.
            }
        }
    }
}
