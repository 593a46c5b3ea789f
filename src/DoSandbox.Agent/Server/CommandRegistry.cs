using System.Collections.Concurrent;
using DoSandbox.Agent.Files;
using DoSandbox.Agent.Native;

namespace DoSandbox.Agent.Server;

/// <summary>Starts commands and keeps them findable: all that run, and the last that ended.</summary>
internal sealed class CommandRegistry
{
    /// <summary>The variable by which the processes of one command are known.</summary>
    public const string Cookie = "DOSANDBOX_COMMAND";

    /// <summary>Ended commands kept.</summary>
    public const int MaxFinished = 256;

    /// <summary>Commands at the same time.</summary>
    public const int MaxRunning = 1024;

    private readonly EnvironmentBlock _environment;
    private readonly int? _maxProcesses;
    private readonly ConcurrentDictionary<string, RunningCommand> _commands = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<RunningCommand> _finished = new();
    private int _running;

    /// <param name="environment">The environment of every command.</param>
    /// <param name="maxProcesses">Most processes and threads of all commands together, or null.</param>
    public CommandRegistry(EnvironmentBlock environment, int? maxProcesses)
    {
        _environment = environment;
        _maxProcesses = maxProcesses;
        Paths = new PathExpander(environment);
    }

    /// <summary>Replaces <c>~</c> and variables in paths.</summary>
    public PathExpander Paths { get; }

    public RunningCommand? Find(string id) => _commands.GetValueOrDefault(id);

    /// <summary>Starts a command.</summary>
    /// <exception cref="RequestException">Nothing was started; the status and the message say why.</exception>
    public RunningCommand Start(CommandSpec spec)
    {
        if (spec.Command is not null && spec.Command.Trim().Length == 0)
        {
            throw RequestException.Invalid("The command is empty.");
        }

        var directory = CheckDirectory(spec);
        if (Interlocked.Increment(ref _running) > MaxRunning)
        {
            Interlocked.Decrement(ref _running);
            throw RequestException.Failed($"{MaxRunning} commands run already; no more at the same time.");
        }

        try
        {
            return StartCounted(spec, directory);
        }
        catch (Exception e)
        {
            Interlocked.Decrement(ref _running);
            throw e switch
            {
                LinuxException error => Explain(error),
                ArgumentException error => RequestException.Invalid(error.Message),
                _ => e,
            };
        }
    }

    private RunningCommand StartCounted(CommandSpec spec, string? directory)
    {
        var id = spec.Id ?? RandomId.Next();
        var mark = ProcessMark.Next();
        var (program, name) = FileSystem.IsExecutable("/bin/bash") ? ("/bin/bash", "bash") : ("/bin/sh", "sh");
        var limits = new List<(int, ulong)>(2);
        if (mark is { } value)
        {
            limits.Add((Libc.RLIMIT_RTTIME, value));
        }

        if (_maxProcesses is { } most)
        {
            // The kernel counts the agent's own threads too, as they have the same user id.
            limits.Add((Libc.RLIMIT_NPROC, (ulong)(most + FileSystem.CountOwnThreads())));
        }

        var variables = new Dictionary<string, string>(spec.Variables ?? [], StringComparer.Ordinal) { [Cookie] = id };
        var command = new RunningCommand(id, spec, mark, OnOver);
        _commands[id] = command;
        try
        {
            command.Start(spec, new SpawnRequest
            {
                Program = program,
                Arguments = spec switch
                {
                    { Command: null } => [name],
                    { State: { } state } => state.Arguments(spec.Command, stayHere: directory is not null),
                    _ => [name, "-c", spec.Command],
                },

                // A session's variables are all in its state, so that one that was unset stays so.
                Environment = spec.State?.Restore is null ? _environment : EnvironmentBlock.Empty,
                Descriptors = spec.State?.Descriptors() ?? [],
                Variables = variables,
                WorkingDirectory = directory,
                SoftLimits = limits,
            });
        }
        catch
        {
            _commands.TryRemove(id, out _);
            throw;
        }

        return command;
    }

    /// <summary>The working directory of a command, checked; null for the agent's own.</summary>
    /// <exception cref="RequestException">400: there is no such directory.</exception>
    public string? CheckDirectory(CommandSpec spec)
    {
        if (string.IsNullOrEmpty(spec.WorkingDirectory))
        {
            return null;
        }

        var path = spec.ExactDirectory ? PathExpander.Check(spec.WorkingDirectory) : Paths.Expand(spec.WorkingDirectory, spec.Variables);
        return FileSystem.CheckDirectory(path) switch
        {
            0 => path,
            Libc.ENOENT => throw RequestException.Invalid($"The working directory {path} does not exist."),
            Libc.ENOTDIR => throw RequestException.Invalid($"The working directory {path} is not a directory."),
            var error => throw RequestException.Invalid($"The working directory {path} cannot be used: {Libc.Describe(error)}."),
        };
    }

    private static RequestException Explain(LinuxException error) => error.Error switch
    {
        Libc.EAGAIN => RequestException.Failed("The command could not start: the sandbox is at its limit of processes."),
        Libc.ENOMEM => RequestException.Failed("The command could not start: the sandbox is at its limit of memory."),
        Libc.E2BIG => RequestException.Invalid(
            "The command and its environment are longer than the system takes: at most 128 KiB for the command or one variable, and 2 MiB together. Put what is long into a file or the standard input."),
        _ => RequestException.Failed($"The command could not start. {error.Message}."),
    };

    private void OnOver(RunningCommand command)
    {
        Interlocked.Decrement(ref _running);
        _finished.Enqueue(command);
        while (_finished.Count > MaxFinished && _finished.TryDequeue(out var oldest))
        {
            _commands.TryRemove(oldest.Id, out _);
            oldest.Forget();
        }
    }
}
