using System.Text.Json;
using System.Text.Json.Serialization;
using DoSandbox.Sandboxes;

namespace DoSandbox.Cli.Output;

/// <summary>What <c>--json</c> prints. These names and their meaning stay; names may be added.</summary>
internal static class CliJson
{
    public static string Text(Sandbox sandbox) => JsonSerializer.Serialize(Picture(sandbox), CliJsonContext.Default.SandboxJson);

    public static string Text(IEnumerable<Sandbox> sandboxes) => JsonSerializer.Serialize(sandboxes.Select(Picture).ToArray(), CliJsonContext.Default.SandboxJsonArray);

    public static string Text(IEnumerable<BackendStatus> statuses) => JsonSerializer.Serialize(
        statuses.Select(status => new BackendJson
        {
            Name = status.Name,
            Usable = status.Usable,
            IsDefault = status.IsDefault,
            DefaultReason = status.DefaultReason,
            Reason = status.Reason,
            Advice = status.Advice is null ? null : CliAdvice.Translate(status.Advice),
            Capabilities = [.. Enum.GetValues<BackendCapabilities>().Where(capability => capability != BackendCapabilities.None && status.Capabilities.HasFlag(capability)).Select(Word)],
        }).ToArray(), CliJsonContext.Default.BackendJsonArray);

    private static SandboxJson Picture(Sandbox sandbox) => new()
    {
        Id = sandbox.Id,
        Name = sandbox.Name,
        Backend = sandbox.Backend,
        State = Word(sandbox.State),
        StateReason = sandbox.StateReason,
        Image = sandbox.Image,
        Mode = sandbox.Mode,
        Component = sandbox.Component,
        Region = sandbox.Region,
        Size = sandbox.Size,
        Url = sandbox.Url?.AbsoluteUri,
        CreatedAt = sandbox.CreatedAt,
        ExpiresAt = sandbox.ExpiresAt,
        Metadata = new Dictionary<string, string>(sandbox.Metadata, StringComparer.Ordinal),
    };

    private static string Word<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.CamelCase.ConvertName(value.ToString());
}

internal sealed record SandboxJson
{
    public required string Id { get; init; }
    public required string Name { get; init; }
    public required string Backend { get; init; }
    public required string State { get; init; }
    public string? StateReason { get; init; }
    public required string Image { get; init; }
    public string? Mode { get; init; }
    public string? Component { get; init; }
    public string? Region { get; init; }
    public string? Size { get; init; }
    public string? Url { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? ExpiresAt { get; init; }
    public required Dictionary<string, string> Metadata { get; init; }
}

internal sealed record BackendJson
{
    public required string Name { get; init; }
    public required bool Usable { get; init; }
    public required bool IsDefault { get; init; }
    public string? DefaultReason { get; init; }
    public required string Reason { get; init; }
    public string? Advice { get; init; }
    public required string[] Capabilities { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, WriteIndented = true)]
[JsonSerializable(typeof(SandboxJson))]
[JsonSerializable(typeof(SandboxJson[]))]
[JsonSerializable(typeof(BackendJson[]))]
internal sealed partial class CliJsonContext : JsonSerializerContext
{
}
