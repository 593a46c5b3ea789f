using System.Runtime.CompilerServices;

namespace DoSandbox.IsolationTests;

/// <summary>A state folder of this test run's own, which sandboxes of root can reach.</summary>
internal static class StateHome
{
    /// <summary>Its path.</summary>
    public static string Path { get; } = $"/tmp/dosandbox-tests-{Environment.ProcessId}";

    [ModuleInitializer]
    internal static void Use()
    {
        Environment.SetEnvironmentVariable("DOSANDBOX_HOME", Path);
        AppDomain.CurrentDomain.ProcessExit += (_, _) =>
        {
            if (Directory.Exists(Path))
            {
                Directory.Delete(Path, recursive: true);
            }
        };
    }
}
