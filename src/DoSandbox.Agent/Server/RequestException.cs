using DoSandbox.Agent.Native;
using DoSandbox.Wire.Execd;

namespace DoSandbox.Agent.Server;

/// <summary>A request that is answered with an error status and an <see cref="ErrorBody"/>.</summary>
internal sealed class RequestException(int status, string code, string message) : Exception(message)
{
    public int Status { get; } = status;

    public string Code { get; } = code;

    public static RequestException Invalid(string message) => new(400, ExecdErrorCodes.InvalidRequestBody, message);

    public static RequestException MissingQuery(string name) => new(400, ExecdErrorCodes.MissingQuery, $"The query parameter '{name}' is missing.");

    public static RequestException Failed(string message) => new(500, ExecdErrorCodes.RuntimeError, message);

    public static RequestException NotFound(string message) => new(404, ExecdErrorCodes.FileNotFound, message);

    /// <summary>The answer to a failed system call on a file: 404 where something is missing, else 500.</summary>
    public static RequestException From(LinuxException error) => error.Error is Libc.ENOENT or Libc.ENOTDIR
        ? NotFound(error.Message)
        : Failed(error.Message);
}
