using DoSandbox.Sandboxes;

namespace DoSandbox.Backends;

/// <summary>The backends there are, in the order in which a default is looked for. A new platform is a new folder and a line here.</summary>
public static class BackendList
{
    /// <summary>Makes one of each.</summary>
    public static IReadOnlyList<ISandboxBackend> Create() => [new Local.LocalBackend()];
}
