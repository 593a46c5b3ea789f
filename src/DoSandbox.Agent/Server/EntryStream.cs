using System.Text.Json;
using DoSandbox.Wire.Execd;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary>A list of files as a JSON array that is sent while it is made: a huge directory costs no memory.</summary>
internal static class EntryStream
{
    private const int FlushAt = 48 * 1024;

    public static async Task WriteAsync(HttpContext context, IEnumerable<FileEntry> entries)
    {
        using var walk = entries.GetEnumerator();

        // The first step opens the directory: its failure still gets a proper status.
        var more = walk.MoveNext();
        context.Response.ContentType = Messages.Json;
        var writer = context.Response.BodyWriter;
        await using var json = new Utf8JsonWriter(writer);
        json.WriteStartArray();
        for (; more; more = walk.MoveNext())
        {
            JsonSerializer.Serialize(json, walk.Current, ExecdJson.Default.FileEntry);
            if (json.BytesPending + writer.UnflushedBytes > FlushAt)
            {
                await json.FlushAsync(context.RequestAborted).ConfigureAwait(false);
                await writer.FlushAsync(context.RequestAborted).ConfigureAwait(false);
            }
        }

        json.WriteEndArray();
        await json.FlushAsync(context.RequestAborted).ConfigureAwait(false);
        await writer.FlushAsync(context.RequestAborted).ConfigureAwait(false);
    }
}
