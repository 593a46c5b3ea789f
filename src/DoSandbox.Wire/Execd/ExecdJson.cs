using System.Text.Json;
using System.Text.Json.Serialization;

namespace DoSandbox.Wire.Execd;

/// <summary>Source-generated JSON of the execd API: snake_case names, absent instead of null.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(CommandStart))]
[JsonSerializable(typeof(StreamEvent))]
[JsonSerializable(typeof(CommandStatus))]
[JsonSerializable(typeof(FileEntry))]
[JsonSerializable(typeof(FileEntry[]))]
[JsonSerializable(typeof(List<FileEntry>))]
[JsonSerializable(typeof(Dictionary<string, FileEntry>))]
[JsonSerializable(typeof(FileMetadata))]
[JsonSerializable(typeof(Dictionary<string, FileMetadata>))]
[JsonSerializable(typeof(Dictionary<string, Replacement>))]
[JsonSerializable(typeof(Dictionary<string, ReplacementCount>))]
[JsonSerializable(typeof(FileMove[]))]
[JsonSerializable(typeof(Metrics))]
[JsonSerializable(typeof(SessionStart))]
[JsonSerializable(typeof(SessionStarted))]
[JsonSerializable(typeof(SessionCommand))]
[JsonSerializable(typeof(PtyStart))]
[JsonSerializable(typeof(PtySession))]
[JsonSerializable(typeof(PtyMessage))]
[JsonSerializable(typeof(ErrorBody))]
[JsonSerializable(typeof(Run.RunRequest))]
[JsonSerializable(typeof(Run.RunStarted))]
[JsonSerializable(typeof(Run.RunExited))]
public sealed partial class ExecdJson : JsonSerializerContext
{
}
