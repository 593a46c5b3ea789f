namespace DoSandbox.Wire.Run;

/// <summary>
/// What our agent can do beyond execd. Announced on <c>GET /ping</c> in the header <see cref="Header"/> as
/// comma-separated tokens; a client uses only what is announced.
/// </summary>
public static class AgentExtensions
{
    public const string Header = "X-DoSandbox-Extensions";

    /// <summary>
    /// <c>POST /dosandbox/run</c>: a command in one request. The body is a 4 byte big-endian length, that many bytes of
    /// <see cref="RunRequest"/> as JSON, then the whole standard input (at most <see cref="MaxStdin"/> bytes). The answer is a
    /// stream of frames (<see cref="RunFrame"/>). A request that is refused has a plain error status and an error body.
    /// </summary>
    public const string Run = "run=1";

    /// <summary><c>/pty</c> takes an environment and a time-out, and the frame <see cref="Execd.PtyFrames.EndOfInput"/>.</summary>
    public const string PtyInput = "pty-input=1";

    /// <summary>
    /// With the request header <see cref="ExactPathsHeader"/> the routes of files and directories, and <c>/pty</c>, take every path as it is: execd replaces
    /// <c>~</c> and <c>$NAME</c> in them, which leaves some names out of reach. The directory of a run is always taken as it is.
    /// </summary>
    public const string ExactPaths = "exact-paths=1";

    /// <summary>A run may name a session of <c>/session</c> (<see cref="RunRequest.Session"/>).</summary>
    public const string SessionRun = "session-run=1";

    /// <summary>Any value.</summary>
    public const string ExactPathsHeader = "X-DoSandbox-Exact-Paths";

    public const string RunRoute = "/dosandbox/run";
    public const string RunContentType = "application/vnd.dosandbox.run";

    /// <summary>Most bytes of input in one run request. More goes by <c>/pty</c>: HTTP/1.1 clients send a whole body before they read.</summary>
    public const int MaxStdin = 1024 * 1024;

    /// <summary>Most bytes of the JSON in front.</summary>
    public const int MaxRequest = 8 * 1024 * 1024;
}

/// <summary>The head of a run request.</summary>
public sealed record RunRequest
{
    public string Command { get; init; } = "";
    public string? Cwd { get; init; }
    public Dictionary<string, string>? Envs { get; init; }

    /// <summary>
    /// The session whose directory, variables, functions and aliases the command has and changes; where
    /// <see cref="AgentExtensions.SessionRun"/> is announced. 404 when there is none, 409 while another command runs in it. Not together
    /// with <see cref="Envs"/>. The command is killed when its client goes away.
    /// </summary>
    public string? Session { get; init; }

    /// <summary>Milliseconds; none when absent. The whole tree is killed.</summary>
    public long? Timeout { get; init; }
}

/// <summary>Payload of <see cref="RunFrameType.Started"/>.</summary>
public sealed record RunStarted
{
    /// <summary>For <c>DELETE /command</c>, <c>/command/status</c> and, once the client went away, <c>/command/{id}/logs</c>.</summary>
    public string Id { get; init; } = "";
    public int Pid { get; init; }
}

/// <summary>Payload of <see cref="RunFrameType.Exited"/>: always the last frame, after all output.</summary>
public sealed record RunExited
{
    /// <summary>0 to 255; 128 + n after death by signal n.</summary>
    public int ExitCode { get; init; }
    public int? Signal { get; init; }
    public bool TimedOut { get; init; }
    public long DurationMs { get; init; }
}

/// <summary>The type byte of a frame.</summary>
public enum RunFrameType : byte
{
    None = 0,
    Stdout = 1,
    Stderr = 2,
    Started = 0x10,
    Exited = 0x11,

    /// <summary>No payload; sent when nothing else was for a while, so that a dead peer is noticed.</summary>
    Heartbeat = 0x12,

    /// <summary>Payload: an <see cref="Execd.ErrorBody"/>. The outcome is unknown.</summary>
    Failed = 0x13,
}
