using DoSandbox.Errors;

namespace DoSandbox.Backends.Local;

/// <summary>Where the agent's program is.</summary>
internal static class AgentBinary
{
    /// <summary>Names the program, for development.</summary>
    private const string Variable = "DOSANDBOX_AGENT";

    private const string Relative = "agent/linux-x64/dosandbox-agent";

    /// <summary>The full path: that of DOSANDBOX_AGENT, else beside this assembly, else in the module of the checkout that this assembly was built in.</summary>
    /// <exception cref="SandboxException">BackendUnavailable.</exception>
    public static string Find()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } named)
        {
            return File.Exists(named) ? Path.GetFullPath(named)
                : throw new SandboxException(SandboxErrorCode.BackendUnavailable, $"{Variable} names '{named}', which does not exist.", $"Correct or remove {Variable}.");
        }

        var folder = Path.GetDirectoryName(typeof(AgentBinary).Assembly.Location) is { Length: > 0 } own ? own : AppContext.BaseDirectory;
        var beside = Path.Combine(folder, Relative);
        if (File.Exists(beside))
        {
            return beside;
        }

        for (var above = new DirectoryInfo(folder); above is not null; above = above.Parent)
        {
            var built = Path.Combine(above.FullName, "module", "bin", Relative);
            if (File.Exists(built))
            {
                return built;
            }
        }

        throw new SandboxException(SandboxErrorCode.BackendUnavailable, $"The agent's program is missing: {beside}.",
            "Install the module again, or run ./build.sh build in a checkout. The agent exists for Linux on x86-64.");
    }
}
