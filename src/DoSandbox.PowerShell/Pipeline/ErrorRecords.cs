using System.Management.Automation;
using System.Reflection;
using DoSandbox.Errors;

namespace DoSandbox.PowerShell.Pipeline;

/// <summary>Makes every error record of the module.</summary>
internal static class ErrorRecords
{
    private const string Prefix = "DoSandbox.";

    /// <summary>The record for an exception; the sandbox it names, else <paramref name="target"/>, is its target object.</summary>
    public static ErrorRecord From(Exception exception, object? target = null)
    {
        while (exception is AggregateException { InnerExceptions.Count: 1 } or TargetInvocationException { InnerException: not null })
        {
            exception = exception.InnerException!;
        }

        var known = exception as SandboxException ?? Translate(exception);
        var category = Enum.TryParse<ErrorCategory>(SandboxErrors.CategoryOf(known.Code).ToString(), out var parsed) ? parsed : ErrorCategory.NotSpecified;
        return new ErrorRecord(known, Prefix + known.Code, category, known.SandboxId ?? target)
        {
            ErrorDetails = new ErrorDetails(Display.Text(known.Message)) { RecommendedAction = Display.Text(known.Advice) },
        };
    }

    /// <summary>The record for an argument that is refused.</summary>
    public static ErrorRecord InvalidArgument(string message, string advice, object? target = null) =>
        From(new SandboxException(SandboxErrorCode.InvalidArgument, message, advice), target);

    private static SandboxException Translate(Exception exception) => exception switch
    {
        UnauthorizedAccessException => new SandboxException(SandboxErrorCode.PermissionDenied, exception.Message, inner: exception),
        FileNotFoundException or DirectoryNotFoundException or System.Management.Automation.DriveNotFoundException or ItemNotFoundException
            => new SandboxException(SandboxErrorCode.FileNotFound, exception.Message, inner: exception),
        WildcardPatternException => new SandboxException(SandboxErrorCode.InvalidArgument, exception.Message,
            "Put a backtick before a [ that is meant itself, in single quotes, or use -Id or -LiteralPath where there is one.", exception),
        _ => new SandboxException(SandboxErrorCode.Internal, exception.Message, inner: exception),
    };
}
