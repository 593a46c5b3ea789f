namespace DoSandbox.Errors;

/// <summary>What went wrong, in a word that stays the same from version to version. <see cref="SandboxErrors"/> holds category and advice of each.</summary>
public enum SandboxErrorCode
{
    /// <summary>A fault of DoSandbox itself.</summary>
    Internal,
    InvalidArgument,
    NotSupported,
    SandboxNotFound,
    AmbiguousSandbox,
    NameTaken,
    BackendUnavailable,
    ToolMissing,
    ToolTooOld,
    StateFolder,
    PermissionDenied,
    CreateFailed,
    RemoveFailed,
    SandboxEnded,
    SandboxSuspended,
    ReadyTimeout,
    Network,
    ProtocolViolation,
    OutcomeUnknown,
    CommandTimedOut,
    CommandFailed,
    CommandNotStarted,
    OutputTooLarge,
    FileNotFound,
    FileExists,
    IsADirectory,
    NotADirectory,
    DiskFull,
    UnsafeArchive,
    IntegrityMismatch,
    LimitExceeded,
}

/// <summary>The kind of an error; the names are those of PowerShell's ErrorCategory.</summary>
public enum SandboxErrorCategory
{
    NotSpecified,
    InvalidArgument,
    NotImplemented,
    ObjectNotFound,
    ResourceExists,
    ResourceUnavailable,
    NotInstalled,
    PermissionDenied,
    OperationTimeout,
    OperationStopped,
    ConnectionError,
    ProtocolError,
    InvalidResult,
    InvalidData,
    InvalidOperation,
    LimitsExceeded,
    WriteError,
}
