namespace DoSandbox.Sandboxes;

/// <summary>What a sandbox may reach.</summary>
public enum SandboxNetwork
{
    /// <summary>The backend's own default: none for a local sandbox.</summary>
    Default,

    /// <summary>Only its own loopback.</summary>
    None,

    /// <summary>All that the host reaches.</summary>
    Host,
}

/// <summary>What a new sandbox should be. A backend refuses what it cannot do before it creates anything.</summary>
public sealed record SandboxSpec
{
    /// <summary>What it holds; the backend's own default when null.</summary>
    public string? Image { get; init; }

    /// <summary>A generated one when null.</summary>
    public string? Name { get; init; }

    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();
    public IReadOnlyDictionary<string, string> Metadata { get; init; } = new Dictionary<string, string>();

    /// <summary>After this long the sandbox ends by itself; never when null.</summary>
    public TimeSpan? TimeToLive { get; init; }

    public SandboxLimits Limits { get; init; } = new();
    public SandboxNetwork Network { get; init; }

    /// <summary>A directory or a tar archive that holds another root (local backend).</summary>
    public string? RootFileSystem { get; init; }

    /// <summary>How long creation may take.</summary>
    public TimeSpan ReadyTimeout { get; init; } = TimeSpan.FromMinutes(10);
}

/// <summary>Limits; null is the backend's default, 0 is none.</summary>
public sealed record SandboxLimits
{
    /// <summary>MiB.</summary>
    public long? MemoryMB { get; init; }
    public double? CpuCount { get; init; }
    public int? MaxProcesses { get; init; }

    /// <summary>MiB.</summary>
    public long? DiskMB { get; init; }
}

/// <summary>A step of something that takes time.</summary>
/// <param name="Activity">What is being done as a whole.</param>
/// <param name="Status">What is being done now.</param>
/// <param name="PercentComplete">0 to 100, or null when unknown.</param>
public sealed record SandboxProgress(string Activity, string Status, int? PercentComplete = null);
