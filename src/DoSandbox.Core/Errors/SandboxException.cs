using DoSandbox.Commands;

namespace DoSandbox.Errors;

/// <summary>Every fault that DoSandbox reports: a code, a sentence about what happened, and what the user can do.</summary>
public class SandboxException : Exception
{
    /// <summary>Makes one. <paramref name="advice"/> defaults to <see cref="SandboxErrors.AdviceFor"/>.</summary>
    public SandboxException(SandboxErrorCode code, string message, string? advice = null, Exception? inner = null)
        : base(message, inner)
    {
        Code = code;
        Advice = advice ?? SandboxErrors.AdviceFor(code);
    }

    /// <summary>What went wrong.</summary>
    public SandboxErrorCode Code { get; }

    /// <summary>What the user can do about it; never empty.</summary>
    public string Advice { get; }

    /// <summary>Id of the sandbox concerned, when one is.</summary>
    public string? SandboxId { get; init; }
}

/// <summary>A command that did not end well, with what it had written so far.</summary>
public sealed class CommandException : SandboxException
{
    /// <summary>Makes one about <paramref name="result"/>.</summary>
    public CommandException(SandboxErrorCode code, string message, CommandResult result, string? advice = null, Exception? inner = null)
        : base(code, message, advice, inner)
    {
        Result = result;
    }

    /// <summary>The output until the end of the command, and its exit code where it has one.</summary>
    public CommandResult Result { get; }
}
