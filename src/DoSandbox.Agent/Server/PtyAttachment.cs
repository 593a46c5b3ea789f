using DoSandbox.Agent.Native;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary>How a client wants to attach to a session of <c>/pty</c>.</summary>
/// <param name="InTerminal">True for a terminal, false for pipes; counts for the first client only.</param>
/// <param name="Since">Output from that position on is replayed.</param>
/// <param name="TakeOver">True displaces the client there is.</param>
/// <param name="Size">The size of the client's terminal, when it told it.</param>
internal sealed record PtyAttachment(bool InTerminal, long Since, bool TakeOver, TerminalSize? Size)
{
    /// <summary>Reads the query: <c>pty</c>, <c>since</c>, <c>takeover</c>, and, as we have it beyond execd, <c>cols</c> and <c>rows</c>.</summary>
    /// <exception cref="RequestException">400: a value is out of bounds.</exception>
    public static PtyAttachment Read(HttpContext context)
    {
        var since = Messages.NumberQuery(context, "since") ?? 0;
        if (since < 0)
        {
            throw RequestException.Invalid("The query parameter 'since' is at least 0.");
        }

        TerminalSize? size = null;
        if (Messages.NumberQuery(context, "cols") is { } columns && Messages.NumberQuery(context, "rows") is { } rows)
        {
            size = ReadSize(columns, rows) ?? throw RequestException.Invalid("A terminal has 1 to 65535 columns and rows.");
        }

        return new PtyAttachment(context.Request.Query["pty"] != "0", since, context.Request.Query["takeover"] == "1", size);
    }

    /// <summary>A size as a client tells it, or null when it is none.</summary>
    public static TerminalSize? ReadSize(long? columns, long? rows) =>
        columns is >= 1 and <= ushort.MaxValue && rows is >= 1 and <= ushort.MaxValue
            ? new TerminalSize((ushort)columns, (ushort)rows)
            : null;
}
