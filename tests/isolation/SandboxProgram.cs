namespace DoSandbox.IsolationTests;

/// <summary>The built command `sandbox`, where every user of the machine can run it: a checkout may lie below a private home.</summary>
internal static class SandboxProgram
{
    private static readonly Lazy<string> Copy = new(Publish);

    public static string Path => Copy.Value;

    private static string Publish()
    {
        var root = AppContext.BaseDirectory;
        while (!File.Exists(System.IO.Path.Combine(root, "DoSandbox.slnx")))
        {
            root = System.IO.Path.GetDirectoryName(root) ?? throw new InvalidOperationException("The tests run outside a checkout.");
        }

        var built = System.IO.Path.Combine(root, "out", "sandbox");
        Assert.True(File.Exists(System.IO.Path.Combine(built, "sandbox")), $"{built}/sandbox is missing: run ./build.sh build");
        var folder = $"/tmp/dosandbox-program-{Environment.ProcessId}";
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        HostShell.RunAsync($"mkdir -p {folder}/agent/linux-x64 && cp -r '{built}/.' {folder}/ && cp '{root}/module/bin/agent/linux-x64/dosandbox-agent' {folder}/agent/linux-x64/ && chmod -R a+rX {folder}").GetAwaiter().GetResult();
        return System.IO.Path.Combine(folder, "sandbox");
    }
}
