namespace DoSandbox.Files;

/// <summary>What a file is.</summary>
public enum SandboxFileType
{
    File,
    Directory,
    SymbolicLink,
    Other,
}

/// <summary>
/// A file in a sandbox. It has no property named Path or LiteralPath on purpose: piped into Remove-Item or Get-Content those would name a
/// file of the host.
/// </summary>
public sealed record SandboxFile
{
    /// <summary>The absolute path in the sandbox.</summary>
    public required string FullName { get; init; }

    /// <summary>The last part of the path.</summary>
    public string Name => FullName.Length > 1 ? FullName[(FullName.LastIndexOf('/') + 1)..] : FullName;

    public required SandboxFileType Type { get; init; }

    /// <summary>Bytes.</summary>
    public required long Size { get; init; }

    /// <summary>Permission bits, as in 0755.</summary>
    public required UnixFileMode Mode { get; init; }

    public string Owner { get; init; } = "";
    public string Group { get; init; } = "";
    public required DateTimeOffset ModifiedAt { get; init; }

    /// <summary>The sandbox that holds it, so that a file piped on binds to the right one.</summary>
    public string? SandboxId { get; init; }

    /// <summary>
    /// The path behind <c>Sandbox:/</c> and the sandbox's id. Never the bare path: PowerShell binds an object of the pipeline to Remove-Item -Path
    /// by its text, which would be a file of the host.
    /// </summary>
    public override string ToString() => $"Sandbox:/{SandboxId}{FullName}";
}
