using System.Text.RegularExpressions;
using DoSandbox.Errors;
using DoSandbox.HostProcesses;

namespace DoSandbox.Backends.Local;

/// <summary>Tries whether bubblewrap works here, as the user whom sandboxes run as.</summary>
internal static partial class BubblewrapProbe
{
    private static readonly Version Oldest = new(0, 8);

    /// <summary>Says what was found.</summary>
    /// <exception cref="SandboxException">ToolTooOld; BackendUnavailable: it cannot make a sandbox here.</exception>
    public static async Task<string> TryAsync(string bubblewrap, CancellationToken cancellationToken)
    {
        var version = await RequireVersionAsync(bubblewrap, cancellationToken).ConfigureAwait(false);
        string[] arguments = [bubblewrap, "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--ro-bind", "/", "/", "--", "/bin/true"];
        if (Environment.IsPrivilegedProcess && HostCommand.Find("setpriv") is { } setpriv)
        {
            // Sandboxes of root run as another user, and may be forbidden what root may do.
            arguments = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "--", .. arguments];
        }

        var result = await HostCommand.For(arguments[0]).WithArguments(arguments[1..]).RunAsync(cancellationToken).ConfigureAwait(false);
        return result.ExitCode == 0
            ? $"bubblewrap {version} works ({(Environment.IsPrivilegedProcess ? "as root: all limits can be enforced" : "without root: no limit on disk, others only in a delegated control group")})"
            : throw new SandboxException(SandboxErrorCode.BackendUnavailable,
                $"bubblewrap cannot make a sandbox here: {SafeText.Clean(result.Stderr)}",
                "Allow user namespaces: sysctl user.max_user_namespaces=10000, on Debian also kernel.unprivileged_userns_clone=1, on Ubuntu 24.04 and later an AppArmor profile for bwrap or kernel.apparmor_restrict_unprivileged_userns=0.");
    }

    /// <summary>The version, when it is not too old.</summary>
    /// <exception cref="SandboxException">ToolTooOld.</exception>
    public static async Task<Version> RequireVersionAsync(string bubblewrap, CancellationToken cancellationToken)
    {
        var result = await HostCommand.For(bubblewrap).WithArguments("--version").RunAsync(cancellationToken).ConfigureAwait(false);
        var text = result.Stdout;
        var match = VersionPattern().Match(text);
        var version = match.Success ? Version.Parse(match.Value) : null;
        return version >= Oldest ? version
            : throw new SandboxException(SandboxErrorCode.ToolTooOld, $"{bubblewrap} is too old: it says '{SafeText.Clean(text.Trim(), 80)}'.", "Install bubblewrap 0.8 or later.");
    }

    [GeneratedRegex("[0-9]+\\.[0-9]+(\\.[0-9]+)?", RegexOptions.CultureInvariant | RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex VersionPattern();
}
