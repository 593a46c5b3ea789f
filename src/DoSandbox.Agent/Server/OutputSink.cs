namespace DoSandbox.Agent.Server;

/// <summary>Where the output of a command goes. One caller at a time.</summary>
internal abstract class OutputSink
{
    /// <summary>How often <see cref="Tick"/> is called, or null for never.</summary>
    public virtual TimeSpan? TickInterval => null;

    /// <summary>Room for at least <paramref name="size"/> bytes of one stream, to be filled and then committed.</summary>
    public abstract Memory<byte> Reserve(bool error, int size);

    /// <summary>Takes over the first <paramref name="count"/> bytes of what was reserved last.</summary>
    public abstract void Commit(int count);

    /// <summary>Hands everything on, waiting as long as the receiver is slow. False once the receiver is gone.</summary>
    public abstract ValueTask<bool> FlushAsync();

    /// <summary>Time has passed; a sink may write a sign of life.</summary>
    /// <returns>True when it did, and wants to be flushed.</returns>
    public virtual bool Tick() => false;
}

/// <summary>Output into a log that is made when there is some.</summary>
internal sealed class LogSink(Func<BoundedLog> log) : OutputSink
{
    private byte[] _buffer = [];

    public override Memory<byte> Reserve(bool error, int size)
    {
        if (_buffer.Length < size)
        {
            _buffer = GC.AllocateUninitializedArray<byte>(Math.Max(size, 4096));
        }

        return _buffer;
    }

    public override void Commit(int count) => log().Append(_buffer.AsSpan(0, count));

    public override ValueTask<bool> FlushAsync() => new(true);
}

/// <summary>Output for nobody.</summary>
internal sealed class NullSink : OutputSink
{
    private byte[] _buffer = [];

    public override Memory<byte> Reserve(bool error, int size)
    {
        if (_buffer.Length < size)
        {
            _buffer = GC.AllocateUninitializedArray<byte>(Math.Max(size, 256));
        }

        return _buffer;
    }

    public override void Commit(int count)
    {
    }

    public override ValueTask<bool> FlushAsync() => new(true);
}
