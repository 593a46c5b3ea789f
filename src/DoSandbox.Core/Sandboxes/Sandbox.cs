using System.Collections.ObjectModel;

namespace DoSandbox.Sandboxes;

/// <summary>A sandbox's state of life.</summary>
public enum SandboxState
{
    Unknown,
    Creating,
    Running,
    Suspended,
    Hibernated,
    Removing,

    /// <summary>It ended by itself: its time was up, or its agent died.</summary>
    Ended,
    Failed,
}

/// <summary>A picture of a sandbox at one moment. It does not change; Get-Sandbox takes a new one.</summary>
public sealed record Sandbox
{
    /// <summary>Unique and for ever.</summary>
    public required string Id { get; init; }

    /// <summary>Unique among those that live.</summary>
    public required string Name { get; init; }

    /// <summary>The name of the backend that made it.</summary>
    public required string Backend { get; init; }

    public required SandboxState State { get; init; }
    public required string Image { get; init; }

    /// <summary>How it is reached, where a backend knows more than one way.</summary>
    public string? Mode { get; init; }

    /// <summary>The part of an app that is the sandbox.</summary>
    public string? Component { get; init; }
    public string? Region { get; init; }
    public string? Size { get; init; }
    public Uri? Url { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>When it ends by itself; never when null.</summary>
    public DateTimeOffset? ExpiresAt { get; init; }

    public IReadOnlyDictionary<string, string> Metadata { get; init; } = ReadOnlyDictionary<string, string>.Empty;

    /// <summary>Why it is not running, where that is known.</summary>
    public string? StateReason { get; init; }

    /// <summary>Since it was made, now.</summary>
    public TimeSpan Age => DateTimeOffset.UtcNow - CreatedAt;

    /// <summary>The name behind <c>Sandbox:/</c>. Never the bare name: Remove-Item and the like would take it for a file of the host.</summary>
    public override string ToString() => $"Sandbox:/{Name}";
}
