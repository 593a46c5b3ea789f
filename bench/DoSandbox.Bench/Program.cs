using DoSandbox.Bench;

if (args is not (["local"] or ["local", "--quick"]))
{
    Console.Error.WriteLine("usage: DoSandbox.Bench local [--quick]");
    return 2;
}

// Beside the real thing: measured sandboxes must not meet a user's own.
var home = $"/tmp/dosandbox-bench-{Environment.ProcessId}";
Environment.SetEnvironmentVariable("DOSANDBOX_HOME", home);
var scratch = Directory.CreateTempSubdirectory("dosandbox-bench");
try
{
    return await new LocalBench(scratch.FullName, args.Length > 1).RunAsync() == 0 ? 0 : 1;
}
finally
{
    scratch.Delete(recursive: true);
    if (Directory.Exists(home))
    {
        Directory.Delete(home, recursive: true);
    }
}
