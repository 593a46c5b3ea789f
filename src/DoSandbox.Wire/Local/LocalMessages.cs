using System.Text.Json.Serialization;

namespace DoSandbox.Wire.Local;

/// <summary>
/// What a client hands to <c>dosandbox-agent supervise</c> on its standard input: one JSON document, then end of input.
/// Not by argument: a command line is readable by every user of the machine.
/// </summary>
public sealed record SuperviseRequest
{
    public required string StateFolder { get; init; }
    public required string Name { get; init; }
    public required string Image { get; init; }

    /// <summary>A program that the image promises; creation fails where the root has none.</summary>
    public string? RequiredProgram { get; init; }

    /// <summary>A directory or a tar archive of another root; the host's /usr when absent.</summary>
    public string? RootFileSystem { get; init; }

    public Dictionary<string, string>? Environment { get; init; }
    public Dictionary<string, string>? Metadata { get; init; }
    public LocalLimits Limits { get; init; } = new();

    /// <summary>True shares the host's network.</summary>
    public bool HostNetwork { get; init; }

    /// <summary>Seconds until the sandbox ends by itself; never when absent.</summary>
    public long? TimeToLiveSeconds { get; init; }

    /// <summary>Full path of bubblewrap.</summary>
    public required string Bubblewrap { get; init; }
}

/// <summary>Limits of a local sandbox; null is no limit.</summary>
public sealed record LocalLimits
{
    public long? MemoryMB { get; init; }
    public double? CpuCount { get; init; }
    public int? MaxProcesses { get; init; }
    public long? DiskMB { get; init; }
}

/// <summary>The supervisor's one line of answer on its standard output, once the sandbox runs or could not be made.</summary>
public sealed record SuperviseReply
{
    public LocalSandboxRecord? Sandbox { get; init; }

    /// <summary>A name of Core's SandboxErrorCode.</summary>
    public string? ErrorCode { get; init; }
    public string? Error { get; init; }
    public string? Advice { get; init; }
}

/// <summary>A sandbox as <c>sandboxes/{id}/sandbox.json</c> of the state folder keeps it. Holds no secret: environment values are not in it.</summary>
public sealed record LocalSandboxRecord
{
    public required string Id { get; init; }
    public required string Name { get; init; }
    public required string Image { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? ExpiresAt { get; init; }
    public Dictionary<string, string>? Metadata { get; init; }
    public LocalLimits Limits { get; init; } = new();
    public bool HostNetwork { get; init; }

    /// <summary>The supervisor's process id. Its liveness is told by the lock file, never by this number alone.</summary>
    public int SupervisorPid { get; init; }

    /// <summary>Host user id of the sandbox when it was made by root.</summary>
    public uint? HostUid { get; init; }

    /// <summary>Full paths of the control groups made for it.</summary>
    public string[] ControlGroups { get; init; } = [];
}

/// <summary>How a sandbox ended, as <c>sandboxes/{id}/ended.json</c> keeps it. An empty file beside a free lock: the supervisor itself was killed.</summary>
public sealed record LocalSandboxEnd
{
    public required DateTimeOffset EndedAt { get; init; }

    /// <summary>A sentence: removed, expired, out of memory, agent killed.</summary>
    public required string Reason { get; init; }
}

/// <summary>A line that a client sends to <c>control.sock</c>; the supervisor answers with one <see cref="ControlReply"/> line.</summary>
public sealed record ControlRequest
{
    /// <summary>One of <see cref="ControlOperations"/>.</summary>
    public required string Operation { get; init; }
}

/// <summary>Values of <see cref="ControlRequest.Operation"/>.</summary>
public static class ControlOperations
{
    /// <summary>Ends the sandbox; the answer comes once nothing of it runs.</summary>
    public const string Stop = "stop";
}

/// <summary>The supervisor's answer to a control line.</summary>
public sealed record ControlReply
{
    public bool Ok { get; init; }
    public string? Error { get; init; }
}

/// <summary>Names in the state folder, shared by supervisor and client.</summary>
public static class LocalLayout
{
    public const string Sandboxes = "sandboxes";
    public const string Names = "names";
    public const string Uids = "uids";
    public const string Agents = "agents";
    public const string RecordFile = "sandbox.json";
    public const string EndedFile = "ended.json";
    public const string LockFile = "lock";
    public const string LogFile = "supervisor.log";
    public const string AgentSocket = "agent.sock";
    public const string ControlSocket = "control.sock";
}

/// <summary>Source-generated JSON between client and supervisor.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(SuperviseRequest))]
[JsonSerializable(typeof(SuperviseReply))]
[JsonSerializable(typeof(LocalSandboxRecord))]
[JsonSerializable(typeof(LocalSandboxEnd))]
[JsonSerializable(typeof(ControlRequest))]
[JsonSerializable(typeof(ControlReply))]
public sealed partial class LocalJson : JsonSerializerContext
{
}
