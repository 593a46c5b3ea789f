namespace DoSandbox.Files;

/// <summary>How far a transfer is.</summary>
/// <param name="FileName">The file or directory, without its path.</param>
/// <param name="BytesDone">Bytes so far.</param>
/// <param name="BytesTotal">Bytes in all; null when not known beforehand.</param>
public sealed record TransferProgress(string FileName, long BytesDone, long? BytesTotal);

/// <summary>How to transfer.</summary>
public sealed record TransferOptions
{
    /// <summary>Overwrites files, and merges into a directory that exists.</summary>
    public bool Force { get; init; }

    /// <summary>Told at most five times a second, and at the end.</summary>
    public IProgress<TransferProgress>? Progress { get; init; }

    /// <summary>Told in a sentence what was left out, such as a link that leads outside.</summary>
    public Action<string>? Warning { get; init; }
}

/// <summary>Counts bytes and reports them at a bearable rate.</summary>
internal sealed class TransferMeter
{
    private const long Interval = 200;

    private readonly IProgress<TransferProgress>? _progress;
    private readonly string _name;
    private readonly long? _total;
    private long _done;
    private long _reportedAt = Environment.TickCount64;

    public TransferMeter(TransferOptions options, string name, long? total)
    {
        _progress = options.Progress;
        _name = name;
        _total = total;
    }

    public void Add(long bytes)
    {
        _done += bytes;
        if (_progress is not null && Environment.TickCount64 - _reportedAt >= Interval)
        {
            _reportedAt = Environment.TickCount64;
            // A file that grew, or did not tell its size, is more than was known.
            _progress.Report(new TransferProgress(_name, _done, _done <= _total ? _total : null));
        }
    }

    public void Finish() => _progress?.Report(new TransferProgress(_name, _done, _total ?? _done));
}
