namespace DoSandbox.Agent.Supervision;

/// <summary>Why a sandbox could not be made.</summary>
/// <param name="code">A name of Core's SandboxErrorCode.</param>
/// <param name="message">What happened.</param>
/// <param name="advice">What the user can do; the code's own advice when null.</param>
internal sealed class SuperviseException(string code, string message, string? advice = null) : Exception(message)
{
    public string Code { get; } = code;

    public string? Advice { get; } = advice;
}
