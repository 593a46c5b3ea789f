namespace DoSandbox.Errors;

/// <summary>Category and general advice of every code, in one place.</summary>
public static class SandboxErrors
{
    /// <summary>The kind of error that a code belongs to.</summary>
    public static SandboxErrorCategory CategoryOf(SandboxErrorCode code) => code switch
    {
        SandboxErrorCode.InvalidArgument => SandboxErrorCategory.InvalidArgument,
        SandboxErrorCode.NotSupported => SandboxErrorCategory.NotImplemented,
        SandboxErrorCode.SandboxNotFound or SandboxErrorCode.FileNotFound => SandboxErrorCategory.ObjectNotFound,
        SandboxErrorCode.AmbiguousSandbox => SandboxErrorCategory.InvalidArgument,
        SandboxErrorCode.NameTaken or SandboxErrorCode.FileExists => SandboxErrorCategory.ResourceExists,
        SandboxErrorCode.BackendUnavailable or SandboxErrorCode.CreateFailed or SandboxErrorCode.StateFolder
            => SandboxErrorCategory.ResourceUnavailable,
        SandboxErrorCode.ToolMissing or SandboxErrorCode.ToolTooOld => SandboxErrorCategory.NotInstalled,
        SandboxErrorCode.PermissionDenied => SandboxErrorCategory.PermissionDenied,
        SandboxErrorCode.ReadyTimeout or SandboxErrorCode.CommandTimedOut => SandboxErrorCategory.OperationTimeout,
        SandboxErrorCode.SandboxEnded or SandboxErrorCode.SandboxSuspended or SandboxErrorCode.RemoveFailed
            => SandboxErrorCategory.InvalidOperation,
        SandboxErrorCode.Network => SandboxErrorCategory.ConnectionError,
        SandboxErrorCode.ProtocolViolation => SandboxErrorCategory.ProtocolError,
        SandboxErrorCode.OutcomeUnknown or SandboxErrorCode.CommandFailed or SandboxErrorCode.CommandNotStarted
            => SandboxErrorCategory.InvalidResult,
        SandboxErrorCode.OutputTooLarge or SandboxErrorCode.LimitExceeded => SandboxErrorCategory.LimitsExceeded,
        SandboxErrorCode.IsADirectory or SandboxErrorCode.NotADirectory => SandboxErrorCategory.InvalidArgument,
        SandboxErrorCode.DiskFull => SandboxErrorCategory.WriteError,
        SandboxErrorCode.UnsafeArchive or SandboxErrorCode.IntegrityMismatch => SandboxErrorCategory.InvalidData,
        _ => SandboxErrorCategory.NotSpecified,
    };

    /// <summary>What the user can do about a code where nothing more specific is known. Never empty.</summary>
    public static string AdviceFor(SandboxErrorCode code) => code switch
    {
        SandboxErrorCode.InvalidArgument => "Correct the argument and run the command again; nothing was changed.",
        SandboxErrorCode.NotSupported => "Run Get-SandboxBackend to see what each backend can do here.",
        SandboxErrorCode.SandboxNotFound => "Run Get-Sandbox to list the sandboxes; one that ended or was removed cannot be used again.",
        SandboxErrorCode.AmbiguousSandbox => "Use the sandbox's id instead of its name.",
        SandboxErrorCode.NameTaken => "Choose another -Name, leave it out to get a generated one, or remove the sandbox that has it.",
        SandboxErrorCode.BackendUnavailable => "Run Get-SandboxBackend to see what is missing and how to get it.",
        SandboxErrorCode.ToolMissing => "Install the named program and run the command again.",
        SandboxErrorCode.ToolTooOld => "Update the named program and run the command again.",
        SandboxErrorCode.StateFolder => "Make the state folder writable and see that its disk has room, or name another in DOSANDBOX_HOME.",
        SandboxErrorCode.PermissionDenied => "Run with the rights that the message names, or choose a path that you may write to.",
        SandboxErrorCode.CreateFailed => "Nothing was left behind. Look at the message, correct the cause and try again.",
        SandboxErrorCode.RemoveFailed => "Run Remove-Sandbox again; if it fails again, the message says what is left and where.",
        SandboxErrorCode.SandboxEnded => "Make a new one with New-Sandbox.",
        SandboxErrorCode.SandboxSuspended => "Run Resume-Sandbox first.",
        SandboxErrorCode.ReadyTimeout => "Allow more with -TimeoutSec, or look at what the sandbox is doing with Get-Sandbox.",
        SandboxErrorCode.Network => "Check that the sandbox still runs with Get-Sandbox, and the network on the way to it, then try again.",
        SandboxErrorCode.ProtocolViolation => "The other side answered something that its protocol does not allow: see that its version suits this module.",
        SandboxErrorCode.OutcomeUnknown => "The command may or may not have run to its end. Look at its effects before you run it again.",
        SandboxErrorCode.CommandTimedOut => "The command and everything it started was killed. Allow more with -TimeoutSec, or start it in the background.",
        SandboxErrorCode.CommandFailed => "Look at Stderr of the result. Leave out -ErrorOnNonZeroExit to get the result whatever the exit code.",
        SandboxErrorCode.CommandNotStarted => "Check the working directory and that the sandbox has a shell.",
        SandboxErrorCode.OutputTooLarge => "Use -Stream, or send the output to a file in the sandbox and fetch it with Get-SandboxFile.",
        SandboxErrorCode.FileNotFound => "Check the path; paths in a sandbox are absolute and case-sensitive.",
        SandboxErrorCode.FileExists => "Use -Force to overwrite, or choose another destination.",
        SandboxErrorCode.IsADirectory => "Name a file, or a destination that ends with /.",
        SandboxErrorCode.NotADirectory => "Name a directory.",
        SandboxErrorCode.DiskFull => "Make room where the message says, or give the sandbox more with -DiskMB.",
        SandboxErrorCode.UnsafeArchive => "Nothing was written outside the destination. Look at what the sandbox holds before you fetch it again.",
        SandboxErrorCode.IntegrityMismatch => "The file changed on its way or while it was read. Try again once nothing writes to it.",
        SandboxErrorCode.LimitExceeded => "Ask for less, or make the sandbox with a higher limit.",
        _ => "This is a fault of DoSandbox: please report it with the text of this error.",
    };
}
