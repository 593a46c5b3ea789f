using System.Management.Automation;
using DoSandbox.Errors;

namespace DoSandbox.PowerShell;

/// <summary>Turns what a user calls a path (relative, on a drive of PowerShell's) into a path of this machine's file system.</summary>
internal static class HostPaths
{
    private const string FileSystem = "FileSystem";

    /// <summary>The full path, existing or not; nothing in it is a wildcard.</summary>
    /// <exception cref="SandboxException">InvalidArgument: it is on a drive that is not of the file system.</exception>
    public static string ResolveHostPath(this PSCmdlet cmdlet, string path)
    {
        try
        {
            return RequireFileSystem(path, cmdlet.SessionState.Path.GetUnresolvedProviderPathFromPSPath(path, out var provider, out _), provider);
        }
        catch (Exception exception) when (exception is System.Management.Automation.DriveNotFoundException or ProviderNotFoundException or NotSupportedException)
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, exception.Message, "Name a path of this machine.", exception);
        }
    }

    /// <summary>The full paths that match a path with wildcards, hidden ones included where they are named; at least one.</summary>
    /// <exception cref="SandboxException">FileNotFound: none does. InvalidArgument: it is on a drive that is not of the file system.</exception>
    public static IReadOnlyList<string> ResolveHostWildcards(this PSCmdlet cmdlet, string path)
    {
        IReadOnlyList<string> found;
        try
        {
            found = [.. cmdlet.SessionState.Path.GetResolvedProviderPathFromPSPath(path, out var provider)];
            RequireFileSystem(path, path, provider);
        }
        catch (ItemNotFoundException)
        {
            found = [];
        }
        catch (Exception exception) when (exception is System.Management.Automation.DriveNotFoundException or ProviderNotFoundException or NotSupportedException)
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, exception.Message, "Name a path of this machine.", exception);
        }

        catch (WildcardPatternException exception)
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, exception.Message, "A name with [ in it needs -LiteralPath.", exception);
        }

        return found.Count > 0
            ? found
            : throw new SandboxException(SandboxErrorCode.FileNotFound, $"Nothing on this machine is '{path}'.",
                "Check the path. A name with [ or * in it needs -LiteralPath.");
    }

    private static string RequireFileSystem(string path, string resolved, ProviderInfo provider) =>
        string.Equals(provider.Name, FileSystem, StringComparison.Ordinal)
            ? resolved
            : throw new SandboxException(SandboxErrorCode.InvalidArgument, $"'{path}' is on a drive of the provider {provider.Name}, not a file of this machine.",
                "Name a path of the file system.");
}
