using System.CommandLine;
using DoSandbox.Connections;
using DoSandbox.Errors;
using DoSandbox.Sandboxes;

namespace DoSandbox.Cli.CommandLine;

/// <summary>How commands name the sandbox they are about.</summary>
internal static class Targets
{
    public static Argument<string> Sandbox() => new("sandbox") { Description = "The sandbox's name or id" };

    public static Option<bool> Id() => new("--id") { Description = "Takes what names a sandbox as an id only, not as a name" };

    /// <exception cref="SandboxException">SandboxNotFound, AmbiguousSandbox.</exception>
    public static async Task<Sandbox> FindAsync(string idOrName, bool isId, CancellationToken cancellationToken)
    {
        var directory = SandboxDirectory.Shared;
        if (!isId)
        {
            return await directory.FindAsync(idOrName, cancellationToken).ConfigureAwait(false);
        }

        foreach (var backend in directory.Backends)
        {
            if (await backend.GetAsync(idOrName, cancellationToken).ConfigureAwait(false) is { } found)
            {
                return found;
            }
        }

        throw new SandboxException(SandboxErrorCode.SandboxNotFound, $"There is no sandbox with the id '{SafeText.Clean(idOrName)}'.");
    }

    public static async Task<ISandboxConnection> ConnectAsync(string idOrName, bool isId, CancellationToken cancellationToken)
    {
        var sandbox = await FindAsync(idOrName, isId, cancellationToken).ConfigureAwait(false);
        return await SandboxDirectory.Shared.ConnectAsync(sandbox, cancellationToken).ConfigureAwait(false);
    }
}
