namespace DoSandbox.Agent.Native;

/// <summary>A system call failed. The message is a full sentence with the system's own words for the error.</summary>
internal sealed class LinuxException : IOException
{
    public LinuxException(int error, string what)
        : base($"{what}: {Libc.Describe(error)}") => Error = error;

    /// <summary>The error number (errno).</summary>
    public int Error { get; }

    /// <summary>The exception for the last failed call of this thread.</summary>
    public static LinuxException Last(string what) => new(Libc.LastError, what);
}
