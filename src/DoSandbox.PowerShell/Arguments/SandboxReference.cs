using DoSandbox.Sandboxes;

namespace DoSandbox.PowerShell;

/// <summary>A sandbox as it was named: an object, or an id or name that is looked up when it is needed.</summary>
public sealed class SandboxReference
{
    private const string TextPrefix = "Sandbox:/";

    private readonly Sandbox? _sandbox;
    private readonly string _text;

    // Not public: PowerShell looks at public constructors when it imports the module, and this one would make it load the whole core.
    internal SandboxReference(Sandbox sandbox)
    {
        ArgumentNullException.ThrowIfNull(sandbox);
        _sandbox = sandbox;
        _text = sandbox.Name;
    }

    /// <summary>A sandbox by its id or name, or by the text that a sandbox object has in a string.</summary>
    public SandboxReference(string idOrName)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(idOrName);
        _text = idOrName;
    }

    /// <summary>True for a sandbox object, false for an id or name.</summary>
    public bool IsObject => _sandbox is not null;

    /// <summary>The id where it is known, else the id or name that was typed.</summary>
    public string Target => _sandbox?.Id ?? NameIn(_text);

    /// <summary>Its name, or the id or name that was typed: for messages.</summary>
    internal string Name => NameIn(_text);

    /// <summary>What was given in the sandbox's place is a file of this machine: this is its full path.</summary>
    internal string? HostFile { get; init; }

    /// <summary>What was given in the sandbox's place is a file of a sandbox: this is its path there.</summary>
    internal string? SandboxFile { get; init; }

    /// <summary>The name or id in a text: that of a sandbox object, which is no path of this machine, or a bare one.</summary>
    internal static string NameIn(string text) =>
        text.StartsWith(TextPrefix, StringComparison.OrdinalIgnoreCase) && text.Length > TextPrefix.Length && text.IndexOf('/', TextPrefix.Length) < 0
            ? text[TextPrefix.Length..]
            : text;

    /// <summary>The sandbox.</summary>
    /// <exception cref="Errors.SandboxException">SandboxNotFound, AmbiguousSandbox.</exception>
    internal async ValueTask<Sandbox> ResolveAsync(SandboxDirectory directory, CancellationToken cancellationToken) =>
        _sandbox ?? await directory.FindAsync(Target, cancellationToken).ConfigureAwait(false);

    /// <summary>Its name, or exactly what was typed.</summary>
    public override string ToString() => _text;
}
