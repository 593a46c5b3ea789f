using System.Collections;
using System.Management.Automation;
using DoSandbox.Files;
using DoSandbox.Sandboxes;

namespace DoSandbox.PowerShell;

/// <summary>
/// Makes <see cref="SandboxReference"/>s of sandbox objects (also of those that came back from a job or a file), ids, names, and objects with
/// a property Id, SandboxId or Name. It looks nothing up.
/// </summary>
[AttributeUsage(AttributeTargets.Property | AttributeTargets.Field)]
public sealed class SandboxTransformationAttribute : ArgumentTransformationAttribute
{
    private static readonly string[] PropertyNames = ["SandboxId", "Id", "Name"];

    /// <summary>True where a file stands for the sandbox that holds it.</summary>
    public bool AcceptFiles { get; set; } = true;

    /// <summary>True where files of this machine may stand in the sandbox's place, because sandboxes come from the pipeline.</summary>
    public bool AcceptHostFiles { get; set; }

    /// <inheritdoc/>
    public override object Transform(EngineIntrinsics engineIntrinsics, object inputData)
    {
        var value = inputData is PSObject { BaseObject: not PSCustomObject } wrapped ? wrapped.BaseObject : inputData;
        if (value is SandboxReference or SandboxReference[])
        {
            return value;
        }

        if (value is IList list)
        {
            var references = new SandboxReference[list.Count];
            for (var i = 0; i < references.Length; i++)
            {
                references[i] = ToReference(list[i]);
            }

            return references;
        }

        return new[] { ToReference(inputData) };
    }

    /// <summary>The sandbox that an object of the pipeline is, or null when it is none: only sandbox objects count, never strings.</summary>
    internal static SandboxReference? FromSandboxObject(PSObject value)
    {
        if (value.BaseObject is Sandbox sandbox)
        {
            return new SandboxReference(sandbox);
        }

        return value.TypeNames.Contains($"Deserialized.{typeof(Sandbox).FullName}") && value.Properties["Id"]?.Value is string { Length: > 0 } id
            ? new SandboxReference(id)
            : null;
    }

    private SandboxReference ToReference(object? item)
    {
        var wrapped = item is null ? null : PSObject.AsPSObject(item);
        switch (wrapped?.BaseObject)
        {
            case SandboxReference reference:
                return reference;
            case Sandbox sandbox:
                return new SandboxReference(sandbox);
            case string text when !string.IsNullOrWhiteSpace(text):
                return new SandboxReference(text);
            case null or string:
                throw new ArgumentTransformationMetadataException("A sandbox is missing here: give a sandbox object, an id or a name.");
            case SandboxFile when !AcceptFiles:
                throw new ArgumentTransformationMetadataException("This is a file in a sandbox, not a sandbox.");
            case SandboxFile { SandboxId: { Length: > 0 } id, FullName: var fullName }:
                return new SandboxReference(id) { SandboxFile = fullName };
            case FileSystemInfo file when AcceptHostFiles:
                return new SandboxReference(file.FullName) { HostFile = file.FullName };
            case FileSystemInfo:
                throw new ArgumentTransformationMetadataException("This is a file of this machine, not a sandbox.");
        }

        foreach (var name in PropertyNames)
        {
            if (wrapped.Properties[name]?.Value is { } value && LanguagePrimitives.TryConvertTo<string>(value, out var text) && !string.IsNullOrWhiteSpace(text))
            {
                return new SandboxReference(text);
            }
        }

        throw new ArgumentTransformationMetadataException(
            $"A {wrapped.BaseObject.GetType().Name} is no sandbox: give a sandbox object, an id or a name.");
    }
}
