namespace DoSandbox.Commands;

/// <summary>A line of output as it came.</summary>
/// <param name="Stream">Which stream it was written to.</param>
/// <param name="Text">The line without its end: UTF-8, every invalid byte as U+FFFD.</param>
/// <param name="Timestamp">When it arrived here.</param>
public sealed record CommandOutput(OutputStream Stream, string Text, DateTimeOffset Timestamp)
{
    /// <inheritdoc/>
    public override string ToString() => Text;
}
