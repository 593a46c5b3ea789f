using DoSandbox.Backends.Local;
using DoSandbox.Commands;
using DoSandbox.Connections;
using DoSandbox.Sandboxes;
using DoSandbox.Wire.Local;
using System.Text.Json;

namespace DoSandbox.IsolationTests;

/// <summary>A real local sandbox for one test or one class, removed at its end.</summary>
public sealed class TestSandbox : IAsyncDisposable
{
    private TestSandbox(LocalBackend backend, Sandbox sandbox, ISandboxConnection connection)
    {
        Backend = backend;
        Sandbox = sandbox;
        Connection = connection;
    }

    public LocalBackend Backend { get; }

    public Sandbox Sandbox { get; }

    public ISandboxConnection Connection { get; }

    public string Folder => Path.Combine(StateHome.Path, LocalLayout.Sandboxes, Sandbox.Id);

    internal LocalSandboxRecord Record =>
        JsonSerializer.Deserialize(File.ReadAllText(Path.Combine(Folder, LocalLayout.RecordFile)), LocalJson.Default.LocalSandboxRecord)!;

    public static async Task<TestSandbox> CreateAsync(SandboxSpec? spec = null)
    {
        var backend = new LocalBackend();
        var sandbox = await backend.CreateAsync(spec ?? new SandboxSpec(), null, CancellationToken.None);
        return new TestSandbox(backend, sandbox, await backend.ConnectAsync(sandbox, CancellationToken.None));
    }

    public Task<CommandResult> ShellAsync(string command, int timeoutSeconds = 30) =>
        Connection.RunToEndAsync(new CommandRequest(command) { Timeout = TimeSpan.FromSeconds(timeoutSeconds) }, CancellationToken.None);

    public Task<CommandResult> PythonAsync(string script, int timeoutSeconds = 30) =>
        Connection.RunToEndAsync(new CommandRequest("python3 -")
        {
            Stdin = new MemoryStream(System.Text.Encoding.UTF8.GetBytes(script)),
            Timeout = TimeSpan.FromSeconds(timeoutSeconds),
        }, CancellationToken.None);

    /// <summary>Runs a script that prints ESCAPED when an attack worked, and asserts that it ran to its end and did not.</summary>
    public async Task<string> AttackAsync(string script)
    {
        var result = await PythonAsync(script + "\nprint('DONE')\n");
        Assert.True(result.Stdout.EndsWith("DONE\n", StringComparison.Ordinal), $"the attack did not run to its end: {result.Stdout}{result.Stderr}");
        Assert.DoesNotContain("ESCAPED", result.Stdout, StringComparison.Ordinal);
        return result.Stdout;
    }

    /// <summary>The host's process ids of everything in the sandbox, zombies left out.</summary>
    public IReadOnlyList<int> HostProcesses() => ProcessesOf(Record.HostUid!.Value);

    public static IReadOnlyList<int> ProcessesOf(uint uid)
    {
        var found = new List<int>();
        foreach (var folder in Directory.EnumerateDirectories("/proc").Where(path => int.TryParse(Path.GetFileName(path), out _)))
        {
            try
            {
                var status = File.ReadAllLines(Path.Combine(folder, "status"));
                if (status.Any(line => line.StartsWith($"Uid:\t{uid}\t", StringComparison.Ordinal)) && !status.Any(line => line.StartsWith("State:\tZ", StringComparison.Ordinal)))
                {
                    found.Add(int.Parse(Path.GetFileName(folder)));
                }
            }
            catch (IOException)
            {
                continue;
            }
        }

        return found;
    }

    /// <summary>Asserts that within a bound nothing of the sandbox is left on the host.</summary>
    public static async Task AssertGoneAsync(uint uid, int seconds = 10)
    {
        for (var attempt = 0; attempt < seconds * 20 && ProcessesOf(uid).Count > 0; attempt++)
        {
            await Task.Delay(50);
        }

        Assert.Empty(ProcessesOf(uid));
    }

    public async ValueTask DisposeAsync()
    {
        await Connection.DisposeAsync();
        await Backend.DeleteAsync(Sandbox, CancellationToken.None);
    }
}

/// <summary>One sandbox that the attack tests of a class share: none of them may harm it.</summary>
public sealed class SharedSandbox : IAsyncLifetime
{
    public TestSandbox Value { get; private set; } = null!;

    public async Task InitializeAsync() => Value = await TestSandbox.CreateAsync();

    public async Task DisposeAsync() => await Value.DisposeAsync();
}
