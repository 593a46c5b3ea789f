namespace DoSandbox.UnitTests.Agent;

/// <summary>Programs that start the agent in other circumstances.</summary>
internal static class Wrappers
{
    private const string Bubblewrap = "/usr/bin/bwrap";

    public static bool HasBubblewrap => File.Exists(Bubblewrap);

    /// <summary>As pid 1 of a pid namespace.</summary>
    public static string[] PidOne => [Bubblewrap, "--unshare-user", "--unshare-pid", "--as-pid-1", "--dev-bind", "/", "/", "--proc", "/proc"];

    /// <summary>As a user that nothing else runs as. Limits of processes are never applied to the real root, whatever its name in a namespace.</summary>
    public static string[] OtherUser { get; } = Environment.IsPrivilegedProcess
        ? ["/usr/bin/setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups"]
        : [Bubblewrap, "--unshare-user", "--uid", "4711", "--gid", "4711", "--dev-bind", "/", "/"];
}

/// <summary>A test that needs bubblewrap on this machine.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class BubblewrapFactAttribute : FactAttribute
{
    public BubblewrapFactAttribute()
    {
        if (!Wrappers.HasBubblewrap)
        {
            Skip = "bubblewrap is not installed";
        }
    }
}
