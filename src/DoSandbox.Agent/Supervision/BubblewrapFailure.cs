namespace DoSandbox.Agent.Supervision;

/// <summary>Turns what bubblewrap said when it could not make a sandbox into an error that a person can act on.</summary>
internal static class BubblewrapFailure
{
    /// <summary>The phrases with which bubblewrap 0.8 to 0.11 reports that user namespaces are forbidden.</summary>
    private static readonly string[] NamespacesForbidden =
    [
        "No permissions to create", "setting up uid map", "Creating new namespace failed", "loopback: Failed RTM_NEWADDR", "max_user_namespaces",
    ];

    public static SuperviseException Explain(string log)
    {
        var text = log.Trim();
        if (NamespacesForbidden.Any(phrase => text.Contains(phrase, StringComparison.Ordinal)))
        {
            return new SuperviseException("BackendUnavailable", $"This machine does not let bubblewrap make user namespaces: {text}",
                "Allow them: sysctl user.max_user_namespaces=10000, on Debian also kernel.unprivileged_userns_clone=1, on Ubuntu 24.04 and later an AppArmor profile for bwrap or kernel.apparmor_restrict_unprivileged_userns=0. In a container, run it with user namespaces allowed.");
        }

        return text.Contains("Unknown option", StringComparison.Ordinal)
            ? new SuperviseException("ToolTooOld", $"bubblewrap is too old: {text}", "Install bubblewrap 0.8 or later.")
            : new SuperviseException("CreateFailed", $"bubblewrap could not start the sandbox: {(text.Length == 0 ? "it ended without a word" : text)}");
    }
}
