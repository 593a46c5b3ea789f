using System.Text;
using DoSandbox.Connections;
using DoSandbox.Errors;

namespace DoSandbox.Commands;

/// <summary>A command's standard output as a stream to read; the beginning of its standard error is kept for messages.</summary>
internal sealed class CommandOutputStream : Stream
{
    private const int MaxError = 16 * 1024;

    private readonly IAsyncEnumerator<CommandEvent> _events;
    private readonly OutputBuffer _error = new();
    private ReadOnlyMemory<byte> _left;
    private string? _said;

    public CommandOutputStream(ISandboxConnection connection, CommandRequest request, CancellationToken cancellationToken)
    {
        _events = connection.RunAsync(request, cancellationToken).GetAsyncEnumerator(cancellationToken);
    }

    /// <summary>How the command ended, once the stream is at its end.</summary>
    public CommandExited? Exited { get; private set; }

    /// <summary>What it wrote to standard error, the beginning of it; to be asked once nothing more is read.</summary>
    public string Error => _said ??= Encoding.UTF8.GetString(_error.Take()).Trim();

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (_left.IsEmpty && Exited is null)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (!await _events.MoveNextAsync().ConfigureAwait(false))
            {
                throw new SandboxException(SandboxErrorCode.OutcomeUnknown, "The command's outcome is unknown: its events ended without an exit.");
            }

            switch (_events.Current)
            {
                case CommandOutputReceived { Stream: OutputStream.Stdout } output:
                    _left = output.Data;
                    break;
                case CommandOutputReceived output:
                    _error.Append(output.Data.Span[..(int)Math.Min(output.Data.Length, MaxError - _error.Length)]);
                    break;
                case CommandExited exited:
                    Exited = exited;
                    break;
            }
        }

        var length = Math.Min(buffer.Length, _left.Length);
        _left[..length].CopyTo(buffer);
        _left = _left[length..];
        return length;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("Only asynchronous reading.");

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override async ValueTask DisposeAsync()
    {
        await _events.DisposeAsync().ConfigureAwait(false);
        _error.Dispose();
        await base.DisposeAsync().ConfigureAwait(false);
    }
}
