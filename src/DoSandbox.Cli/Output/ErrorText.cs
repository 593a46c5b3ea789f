using System.CommandLine;
using DoSandbox.Errors;

namespace DoSandbox.Cli.Output;

/// <summary>Everything that this program says about itself: on standard error, each on one line that cannot steer a terminal.</summary>
internal static class ErrorText
{
    private const int Failed = 1;
    private const int Usage = 2;
    private const int TimedOut = 124;

    /// <summary>Tells an error: what happened, and what to do about it.</summary>
    /// <returns>The exit code.</returns>
    public static int Write(Exception error)
    {
        var known = error as SandboxException
            ?? new SandboxException(error is IOException or UnauthorizedAccessException ? SandboxErrorCode.PermissionDenied : SandboxErrorCode.Internal, error.Message, inner: error);
        // Only this kind of message names a parameter; in any other the same letters may be part of a file's name.
        Line(known.Code == SandboxErrorCode.NotSupported ? CliAdvice.Translate(known.Message) : known.Message);
        Stdio.WriteErrorLine($"  {SafeText.Clean(CliAdvice.Translate(known.Advice))}");
        return known.Code switch
        {
            SandboxErrorCode.InvalidArgument => Usage,
            SandboxErrorCode.CommandTimedOut => TimedOut,
            _ => Failed,
        };
    }

    /// <summary>Tells what is wrong with the command line.</summary>
    /// <returns>The exit code.</returns>
    public static int WriteUsage(ParseResult parsed) =>
        WriteUsage(string.Join(' ', parsed.Errors.Select(error => error.Message)), parsed.CommandResult.Command is RootCommand ? null : parsed.CommandResult.Command.Name);

    /// <inheritdoc cref="WriteUsage(ParseResult)"/>
    public static int WriteUsage(string message, string? command)
    {
        Line(message);
        Stdio.WriteErrorLine($"  See: sandbox {(command is null ? "" : command + " ")}--help");
        return Usage;
    }

    public static void Warn(string text) => Line($"warning: {text}");

    public static void Note(string text) => Stdio.WriteErrorLine(SafeText.Clean(text));

    private static void Line(string text) => Stdio.WriteErrorLine($"sandbox: {SafeText.Clean(text)}");
}
