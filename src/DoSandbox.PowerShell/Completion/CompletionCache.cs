using System.Management.Automation;

namespace DoSandbox.PowerShell;

/// <summary>
/// Values for completion, kept for 5 seconds. An answer comes within 300 ms: from values that are fresh, else from what a look-up brings in
/// that time, else from old ones. The look-up goes on, so that the next Tab has its result. Never throws.
/// </summary>
internal sealed class CompletionCache<T>(Func<CancellationToken, Task<IReadOnlyList<T>>> load)
{
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan LongestLoad = TimeSpan.FromSeconds(30);

    private readonly object _lock = new();
    private IReadOnlyList<T> _values = [];
    private long _loadedAt = long.MinValue;
    private Task? _loading;

    public IReadOnlyList<T> Get()
    {
        Task loading;
        lock (_lock)
        {
            if (_loadedAt != long.MinValue && TimeSpan.FromMilliseconds(Environment.TickCount64 - _loadedAt) < Fresh)
            {
                return _values;
            }

            loading = _loading ??= Task.Run(LoadAsync);
        }

        _ = Task.WhenAny(loading, Task.Delay(Patience)).GetAwaiter().GetResult();
        lock (_lock)
        {
            return _values;
        }
    }

    private async Task LoadAsync()
    {
        try
        {
            using var bound = new CancellationTokenSource(LongestLoad);
            var values = await load(bound.Token).ConfigureAwait(false);
            lock (_lock)
            {
                _values = values;
                _loadedAt = Environment.TickCount64;
            }
        }
        catch (Exception)
        {
            // Whatever is wrong, Tab is not the place to say it: the cmdlet will.
        }
        finally
        {
            lock (_lock)
            {
                _loading = null;
            }
        }
    }
}

internal static class Completion
{
    /// <summary>The results for the values that begin with the word; a value that needs quotes gets them.</summary>
    public static IEnumerable<CompletionResult> Match(string? word, IEnumerable<(string Value, string ToolTip)> values)
    {
        var prefix = (word ?? "").Trim('\'', '"');
        foreach (var (value, toolTip) in values)
        {
            if (value.StartsWith(prefix, StringComparison.OrdinalIgnoreCase))
            {
                var bare = value.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '/' or ':');
                var text = bare && value.Length > 0 && value[0] != '-' ? value : $"'{value.Replace("'", "''", StringComparison.Ordinal)}'";
                yield return new CompletionResult(text, Display.OneLine(value), CompletionResultType.ParameterValue, Display.OneLine(toolTip));
            }
        }
    }
}
