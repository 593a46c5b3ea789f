using System.CommandLine;
using DoSandbox.Cli.CommandLine;
using DoSandbox.Cli.Commands;
using DoSandbox.Cli.Output;

namespace DoSandbox.Cli;

/// <summary>The command <c>sandbox</c>: DoSandbox for shells other than PowerShell.</summary>
internal static class Program
{
    private static async Task<int> Main(string[] args)
    {
        using var signals = new Signals();
        var root = SandboxCommandLine.Create();
        args = ExecCommand.Separate(args.Length == 0 ? ["--help"] : args, out var unknown);
        if (unknown is not null)
        {
            return ErrorText.WriteUsage($"'{unknown}' is no option of exec. Where it is the command's own name, put -- before it.", "exec");
        }

        // An argument such as @all or @file is text for the sandbox, never a file of arguments.
        var parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parsed.Errors.Count > 0)
        {
            return ErrorText.WriteUsage(parsed);
        }

        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null }, signals.Token).ConfigureAwait(false);
        }
        catch (Exception) when (signals.Received is { } signal)
        {
            // Whatever it broke off, the reason is the signal.
            return 128 + signal;
        }
        catch (Exception e)
        {
            return ErrorText.Write(e);
        }
    }
}
