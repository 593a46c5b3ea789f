using System.Management.Automation;

namespace DoSandbox.PowerShell.Pipeline;

/// <summary>What background work hands to the pipeline thread.</summary>
/// <param name="Kind">What to do with it.</param>
/// <param name="Value">The object, text, record or question.</param>
internal readonly record struct PipelineItem(PipelineItemKind Kind, object? Value);

internal enum PipelineItemKind
{
    Output,
    Error,
    Warning,
    Verbose,
    Progress,
    Question,
    Action,
}

/// <summary>A ShouldProcess question from background work, answered on the pipeline thread.</summary>
internal sealed record PipelineQuestion(string Target, string Action)
{
    public TaskCompletionSource<bool> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}
