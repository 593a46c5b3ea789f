using System.CommandLine;
using System.Globalization;
using DoSandbox.Cli.CommandLine;
using DoSandbox.Cli.Output;
using DoSandbox.Commands;
using DoSandbox.Errors;

namespace DoSandbox.Cli.Commands;

/// <summary><c>sandbox exec</c>: one command, its bytes and its exit code.</summary>
internal static class ExecCommand
{
    private const int TimedOut = 124;

    /// <summary>As a shell reports a program whose reader went away.</summary>
    private const int ReaderGone = 128 + 13;

    public static Command Build()
    {
        var sandbox = Targets.Sandbox();
        var words = new Argument<string[]>("command")
        {
            Description = "What to run. One word is a command line for the shell; several are a program and its arguments, each passed on exactly. "
                + "Options of exec stand before it: from its first word on, everything belongs to the command",
            Arity = ArgumentArity.OneOrMore,
        };
        var id = Targets.Id();
        var timeout = Values.Duration("--timeout", "Ends the command with everything it started after this long, with exit code 124; never by default", "-t");
        var environment = Values.Environment();
        var directory = new Option<string?>("--cwd", "-w") { Description = "The working directory, an absolute path", HelpName = "directory" };
        var command = new Command("exec", "Runs a command in a sandbox: its output, byte for byte, and its exit code are those of this command. Input that is not a terminal is passed on")
        {
            sandbox, words, id, timeout, environment, directory,
        };
        command.SetAction((parsed, cancellationToken) => RunAsync(
            parsed.GetRequiredValue(sandbox),
            parsed.GetValue(id),
            new CommandRequest(CommandLineOf(parsed.GetRequiredValue(words)))
            {
                WorkingDirectory = parsed.GetValue(directory),
                Environment = parsed.GetValue(environment) ?? [],
                Timeout = parsed.GetValue(timeout),
                Stdin = Stdio.OpenInput(),
            },
            cancellationToken));
        return command;
    }

    /// <summary>
    /// Puts a <c>--</c> before the first word of the command, so that options behind it are the command's own. Those between the sandbox
    /// and the command are still options of exec.
    /// </summary>
    /// <param name="args">All arguments of this program.</param>
    /// <param name="unknown">What stands before the command and looks like an option, yet is none: it must not be run in the sandbox instead.</param>
    internal static string[] Separate(string[] args, out string? unknown)
    {
        unknown = null;
        var named = false;
        for (var i = args is ["exec", ..] ? 1 : args.Length; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--":
                    return args;
                case "--timeout" or "-t" or "--env" or "-e" or "--cwd" or "-w":
                    i++;
                    break;
                case ['-', _, ..] when !IsOption(args[i]):
                    unknown = args[i];
                    return args;
                case ['-', _, ..]:
                    break;
                default:
                    if (named)
                    {
                        return [.. args[..i], "--", .. args[i..]];
                    }

                    named = true;
                    break;
            }
        }

        return args;
    }

    private static bool IsOption(string arg) => arg is "--id" or "--help" or "-h" or "-?"
        || arg.StartsWith("--timeout=", StringComparison.Ordinal) || arg.StartsWith("--env=", StringComparison.Ordinal) || arg.StartsWith("--cwd=", StringComparison.Ordinal)
        || arg is ['-', 't' or 'e' or 'w', _, ..];

    /// <summary>One word is a command line as it stands; of several, each is a word for the shell.</summary>
    internal static string CommandLineOf(string[] words) => words is [var line] ? line : string.Join(' ', words.Select(ShellQuote.Quote));

    private static async Task<int> RunAsync(string name, bool isId, CommandRequest request, CancellationToken cancellationToken)
    {
        request.Validate();
        var connection = await Targets.ConnectAsync(name, isId, cancellationToken).ConfigureAwait(false);
        await foreach (var next in connection.RunAsync(request, cancellationToken).ConfigureAwait(false))
        {
            switch (next)
            {
                case CommandOutputReceived output when !Stdio.Write(output.Stream, output.Data.Span):
                    // Leaving the enumeration ends the command in the sandbox, as SIGPIPE would end it here.
                    return ReaderGone;
                case CommandExited { TimedOut: true }:
                    ErrorText.Write(new SandboxException(SandboxErrorCode.CommandTimedOut,
                        string.Create(CultureInfo.InvariantCulture, $"The command did not end within {request.Timeout?.TotalSeconds:0.###} s.")));
                    return TimedOut;
                case CommandExited exited:
                    return exited.ExitCode;
            }
        }

        throw new SandboxException(SandboxErrorCode.OutcomeUnknown, "The connection ended before the command did.");
    }
}
