using DoSandbox.Agent.Files;
using DoSandbox.Agent.Native;

namespace DoSandbox.Agent.Supervision;

/// <summary>
/// Removes what code in a sandbox left on the disk of a user without rights. It may be nested deeper than any path can name, and closed to its
/// own owner; ordinary means of removing a directory fail on either.
/// </summary>
internal static class TreeRemoval
{
    /// <summary>For clients, which find what a killed supervisor could not remove. 0, or 1 with a sentence on standard error.</summary>
    public static int Run(string path)
    {
        try
        {
            Remove(path);
            return 0;
        }
        catch (LinuxException exception)
        {
            SupervisorLog.Write(exception.Message);
            return 1;
        }
    }

    /// <exception cref="LinuxException">Something could not be removed.</exception>
    public static void Remove(string path) => TreeRemover.Remove(FileNames.ToBytes(path), openClosed: true);
}
