using System.Diagnostics;
using DoSandbox.Errors;
using DoSandbox.Sandboxes;

namespace DoSandbox.Cli.Output;

/// <summary>What takes time, told on one line of a terminal that goes again; nothing where standard error is no terminal.</summary>
internal sealed class ProgressLine : IProgress<SandboxProgress>, IDisposable
{
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(200);

    private readonly bool _shown = !Console.IsErrorRedirected;
    private readonly Stopwatch _clock = Stopwatch.StartNew();
    private readonly Lock _lock = new();
    private TimeSpan _next = Quiet;
    private bool _dirty;

    public void Report(SandboxProgress value)
    {
        lock (_lock)
        {
            if (!_shown || _clock.Elapsed < _next)
            {
                return;
            }

            _next = _clock.Elapsed + Step;
            _dirty = true;
            var percent = value.PercentComplete is { } part ? FormattableString.Invariant($" {part}%") : "";
            Console.Error.Write($"\r\e[K{SafeText.Clean($"{value.Activity}: {value.Status}", Math.Max(20, Console.WindowWidth - 8))}{percent}");
        }
    }

    /// <summary>Takes the line away.</summary>
    public void Clear()
    {
        lock (_lock)
        {
            if (_dirty)
            {
                Console.Error.Write("\r\e[K");
                _dirty = false;
            }
        }
    }

    public void Dispose() => Clear();
}
