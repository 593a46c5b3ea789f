using System.Text.Json;
using System.Text.Json.Serialization;

namespace DoSandbox.Wire.Execd;

// Messages of the execd API, field for field as its reference implementation speaks them
// (OpenSandbox, components/execd/pkg/web/model at 3bb6fad3).

/// <summary>Body of <c>POST /command</c>.</summary>
public sealed record CommandStart
{
    /// <summary>The shell command.</summary>
    public string? Command { get; init; }

    /// <summary>Working directory; the agent's default when absent.</summary>
    public string? Cwd { get; init; }

    /// <summary>True to answer at once and keep the command running, its output kept for <c>/command/{id}/logs</c>.</summary>
    public bool Background { get; init; }

    /// <summary>Time-out in milliseconds, at least 1; none when absent.</summary>
    public long? Timeout { get; init; }

    /// <summary>User id to run as.</summary>
    public long? Uid { get; init; }

    /// <summary>Group id to run as; needs <see cref="Uid"/>.</summary>
    public long? Gid { get; init; }

    /// <summary>Environment variables on top of the agent's.</summary>
    public Dictionary<string, string>? Envs { get; init; }
}

/// <summary>One frame of an event stream. A frame with <see cref="Code"/> and no <see cref="Type"/> is an error that the server could not announce by status.</summary>
public sealed record StreamEvent
{
    public string? Type { get; init; }
    public string? Text { get; init; }
    public int? ExecutionCount { get; init; }

    /// <summary>Milliseconds.</summary>
    public long? ExecutionTime { get; init; }

    /// <summary>Unix time in milliseconds; required by clients on every frame.</summary>
    public long? Timestamp { get; init; }

    public Dictionary<string, JsonElement>? Results { get; init; }
    public StreamError? Error { get; init; }
    public string? Code { get; init; }
    public string? Message { get; init; }
}

/// <summary>The error of a stream: <see cref="Evalue"/> is the exit code in decimal, or a text when the command could not start.</summary>
public sealed record StreamError
{
    public string Ename { get; init; } = "";
    public string Evalue { get; init; } = "";
    public string[] Traceback { get; init; } = [];
}

/// <summary>Values of <see cref="StreamEvent.Type"/>.</summary>
public static class StreamEventTypes
{
    public const string Init = "init";
    public const string Ping = "ping";
    public const string Stdout = "stdout";
    public const string Stderr = "stderr";
    public const string Complete = "execution_complete";
    public const string Error = "error";
}

/// <summary>Answer of <c>GET /command/status/{id}</c>.</summary>
public sealed record CommandStatus
{
    public string Id { get; init; } = "";
    public string? Content { get; init; }
    public bool Running { get; init; }
    public int? ExitCode { get; init; }
    public string? Error { get; init; }
    public DateTimeOffset StartedAt { get; init; }
    public DateTimeOffset? FinishedAt { get; init; }
}

/// <summary>A file as <c>/files/info</c>, <c>/files/search</c> and <c>/directories/list</c> tell it. Links are not followed.</summary>
public sealed record FileEntry
{
    public string Path { get; init; } = "";

    /// <summary>One of <c>file</c>, <c>directory</c>, <c>symlink</c>, <c>other</c>.</summary>
    public string Type { get; init; } = "";

    /// <summary>Bytes.</summary>
    public long Size { get; init; }

    public DateTimeOffset ModifiedAt { get; init; }
    public DateTimeOffset CreatedAt { get; init; }
    public string Owner { get; init; } = "";
    public string Group { get; init; } = "";

    /// <summary>Permission bits written as decimal digits that are read as octal: 755 means 0755.</summary>
    public int Mode { get; init; }
}

/// <summary>The <c>metadata</c> part of <c>POST /files/upload</c>, and the values of <c>POST /directories</c> and <c>POST /files/permissions</c>.</summary>
public sealed record FileMetadata
{
    /// <summary>Only in <c>/files/upload</c>.</summary>
    public string? Path { get; init; }

    public string? Owner { get; init; }
    public string? Group { get; init; }

    /// <summary>As <see cref="FileEntry.Mode"/>; 0 or absent leaves the mode alone.</summary>
    public int? Mode { get; init; }
}

/// <summary>A value of <c>POST /files/replace</c>.</summary>
public sealed record Replacement
{
    public string? Old { get; init; }
    public string? New { get; init; }
}

/// <summary>A value of the verbose answer of <c>POST /files/replace</c>.</summary>
public sealed record ReplacementCount
{
    [System.Text.Json.Serialization.JsonPropertyName("replacedCount")]
    public int ReplacedCount { get; init; }
}

/// <summary>An element of <c>POST /files/mv</c>.</summary>
public sealed record FileMove
{
    public string? Src { get; init; }
    public string? Dest { get; init; }
}

/// <summary>Answer of <c>GET /metrics</c>.</summary>
public sealed record Metrics
{
    public double CpuCount { get; init; }
    public double CpuUsedPct { get; init; }
    public double MemTotalMib { get; init; }
    public double MemUsedMib { get; init; }

    /// <summary>Unix time in milliseconds.</summary>
    public long Timestamp { get; init; }
}

/// <summary>Body of <c>POST /session</c>.</summary>
public sealed record SessionStart
{
    public string? Cwd { get; init; }
}

/// <summary>Answer of <c>POST /session</c>.</summary>
public sealed record SessionStarted
{
    public string SessionId { get; init; } = "";
}

/// <summary>Body of <c>POST /session/{id}/run</c>.</summary>
public sealed record SessionCommand
{
    public string? Command { get; init; }

    /// <summary>The directory for this command and those after it; where the session is when absent.</summary>
    public string? Cwd { get; init; }

    /// <summary>Milliseconds.</summary>
    public long? Timeout { get; init; }
}

/// <summary>Body of <c>POST /pty</c>. <see cref="Envs"/> and <see cref="Timeout"/> only where <see cref="Run.AgentExtensions.PtyInput"/> is announced.</summary>
public sealed record PtyStart
{
    public string? Cwd { get; init; }
    public string? Command { get; init; }
    public Dictionary<string, string>? Envs { get; init; }

    /// <summary>Milliseconds.</summary>
    public long? Timeout { get; init; }
}

/// <summary>Answer of <c>POST /pty</c> and <c>GET /pty/{id}</c>.</summary>
public sealed record PtySession
{
    public string SessionId { get; init; } = "";
    public bool? Running { get; init; }
    public long? OutputOffset { get; init; }
}

/// <summary>A text frame of the <c>/pty</c> websocket, in either direction.</summary>
public sealed record PtyMessage
{
    /// <summary>Client: <c>stdin signal resize ping</c>. Server: <c>connected pong exit error</c>.</summary>
    public string? Type { get; init; }

    public string? Data { get; init; }

    /// <summary>Client: the signal to send. Server, with <c>exit</c>, where it tells: the one that ended the command. A name or a number, see <see cref="PtySignal"/>.</summary>
    [JsonConverter(typeof(PtySignalConverter))]
    public string? Signal { get; init; }

    public int? Cols { get; init; }
    public int? Rows { get; init; }
    public string? SessionId { get; init; }
    public string? Mode { get; init; }
    public int? ExitCode { get; init; }
    public string? Code { get; init; }
    public string? Error { get; init; }

    /// <summary>With <c>exit</c>, where announced: true when the session's time-out ended it.</summary>
    public bool? TimedOut { get; init; }
}

/// <summary>First byte of the binary frames of the <c>/pty</c> websocket.</summary>
public static class PtyFrames
{
    /// <summary>Client: input follows.</summary>
    public const byte Stdin = 0x00;

    /// <summary>Server: output follows.</summary>
    public const byte Stdout = 0x01;

    /// <summary>Server: standard error follows (pipe mode).</summary>
    public const byte Stderr = 0x02;

    /// <summary>Server: replayed output, after an 8 byte big-endian offset.</summary>
    public const byte Replay = 0x03;

    /// <summary>Client: the input is at its end (pipe mode). Only where <see cref="Run.AgentExtensions.PtyInput"/> is announced.</summary>
    public const byte EndOfInput = 0x04;
}

/// <summary>Body of an error answer.</summary>
public sealed record ErrorBody
{
    public string? Code { get; init; }
    public string? Message { get; init; }
}

/// <summary>Values of <see cref="ErrorBody.Code"/>.</summary>
public static class ExecdErrorCodes
{
    public const string InvalidRequestBody = "INVALID_REQUEST_BODY";
    public const string MissingQuery = "MISSING_QUERY";
    public const string RuntimeError = "RUNTIME_ERROR";
    public const string InvalidFile = "INVALID_FILE";
    public const string InvalidFileContent = "INVALID_FILE_CONTENT";
    public const string InvalidFileMetadata = "INVALID_FILE_METADATA";
    public const string FileNotFound = "FILE_NOT_FOUND";
    public const string Unknown = "UNKNOWN";
    public const string ContextNotFound = "CONTEXT_NOT_FOUND";
    public const string NotSupported = "NOT_SUPPORTED";
}

/// <summary>Header names of the execd API.</summary>
public static class ExecdHeaders
{
    public const string AccessToken = "X-EXECD-ACCESS-TOKEN";
    public const string LogCursor = "EXECD-COMMANDS-TAIL-CURSOR";

    /// <summary>Ours: how many bytes of a log before the returned ones were dropped because the log is bounded.</summary>
    public const string LogDropped = "X-DoSandbox-Log-Dropped";
}
