using DoSandbox.Sandboxes;

namespace DoSandbox.PowerShell;

/// <summary>A sandbox as it was named: an object, or an id or name that is looked up when it is needed.</summary>
public sealed class SandboxReference
{
    private readonly Sandbox? _sandbox;
    private readonly string _text;

    // Not public: PowerShell looks at public constructors when it imports the module, and this one would make it load the whole core.
    internal SandboxReference(Sandbox sandbox)
    {
        ArgumentNullException.ThrowIfNull(sandbox);
        _sandbox = sandbox;
        _text = sandbox.Name;
    }

    /// <summary>A sandbox by its id or name.</summary>
    public SandboxReference(string idOrName)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(idOrName);
        _text = idOrName;
    }

    /// <summary>True for a sandbox object, false for an id or name.</summary>
    public bool IsObject => _sandbox is not null;

    /// <summary>The id where it is known, else what was typed.</summary>
    public string Target => _sandbox?.Id ?? _text;

    /// <summary>The sandbox.</summary>
    /// <exception cref="Errors.SandboxException">SandboxNotFound, AmbiguousSandbox.</exception>
    internal async ValueTask<Sandbox> ResolveAsync(SandboxDirectory directory, CancellationToken cancellationToken) =>
        _sandbox ?? await directory.FindAsync(_text, cancellationToken).ConfigureAwait(false);

    /// <summary>Its name, or what was typed.</summary>
    public override string ToString() => _text;
}
