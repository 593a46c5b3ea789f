using System.CommandLine;
using DoSandbox.Cli.CommandLine;
using DoSandbox.Cli.Output;
using DoSandbox.Sandboxes;

namespace DoSandbox.Cli.Commands;

/// <summary><c>sandbox create</c>.</summary>
internal static class CreateCommand
{
    public static Command Build()
    {
        var image = new Option<string?>("--image", "-i") { Description = "What the sandbox holds, such as python (the default) or node", HelpName = "name" };
        var name = new Option<string?>("--name", "-n") { Description = "Its name; a generated one when left out", HelpName = "name" };
        var backend = new Option<string?>("--backend", "-b") { Description = "The platform that makes it; see: sandbox backends", HelpName = "name" };
        var timeToLive = Values.Duration("--ttl", "After this long it ends by itself; never by default");
        var memory = Values.Limit<long>("--memory-mb", "Most memory, in MiB; 0 for no limit");
        var cpu = Values.Limit<double>("--cpu", "Most processor time, in processors: 0.5 is half of one");
        var processes = Values.Limit<int>("--max-processes", "Most processes and threads at once; 0 for no limit");
        var disk = Values.Limit<long>("--disk-mb", "Most disk, in MiB; 0 for no limit");
        var network = new Option<string?>("--network") { Description = "none: its own loopback only. host: everything that this machine reaches", HelpName = "none|host" };
        network.AcceptOnlyFromAmong(StringComparer.OrdinalIgnoreCase, "none", "host");
        var environment = Values.Environment();
        var root = new Option<string?>("--root-file-system") { Description = "A directory or a tar archive that holds another root (local backend)", HelpName = "path" };
        var json = Json();
        var command = new Command("create", "Creates a sandbox, waits until it answers and prints its name")
        {
            image, name, backend, timeToLive, memory, cpu, processes, disk, network, environment, root, json,
        };
        command.SetAction((parsed, cancellationToken) => RunAsync(
            parsed.GetValue(backend),
            new SandboxSpec
            {
                Image = parsed.GetValue(image),
                Name = parsed.GetValue(name),
                TimeToLive = parsed.GetValue(timeToLive),
                Limits = new SandboxLimits
                {
                    MemoryMB = parsed.GetValue(memory),
                    CpuCount = parsed.GetValue(cpu),
                    MaxProcesses = parsed.GetValue(processes),
                    DiskMB = parsed.GetValue(disk),
                },
                Network = parsed.GetValue(network)?.ToLowerInvariant() switch { "none" => SandboxNetwork.None, "host" => SandboxNetwork.Host, _ => SandboxNetwork.Default },
                Environment = parsed.GetValue(environment) ?? [],
                RootFileSystem = parsed.GetValue(root) is { Length: > 0 } path ? Path.GetFullPath(path) : null,
            },
            parsed.GetValue(json),
            cancellationToken));
        return command;
    }

    internal static Option<bool> Json() => new("--json") { Description = "Prints JSON" };

    private static async Task<int> RunAsync(string? backendName, SandboxSpec spec, bool json, CancellationToken cancellationToken)
    {
        if (spec.Network == SandboxNetwork.Host)
        {
            ErrorText.Warn("With --network host the code in the sandbox reaches everything that this machine reaches, its own services included.");
        }

        var directory = SandboxDirectory.Shared;
        var backend = backendName is null
            ? await directory.GetDefaultBackendAsync(cancellationToken).ConfigureAwait(false)
            : directory.GetBackend(backendName);
        using var progress = new ProgressLine();
        var sandbox = await backend.CreateAsync(spec, progress, cancellationToken).ConfigureAwait(false);
        progress.Clear();
        Stdio.WriteLine(json ? CliJson.Text(sandbox) : sandbox.Name);
        return 0;
    }
}
