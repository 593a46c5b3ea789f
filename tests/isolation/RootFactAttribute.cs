namespace DoSandbox.IsolationTests;

/// <summary>A test of what only root can set up; counted as skipped without root.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class RootFactAttribute : FactAttribute
{
    public RootFactAttribute()
    {
        if (!Environment.IsPrivilegedProcess)
        {
            Skip = "needs root: limits, mounts and network namespaces of the host";
        }
    }
}
