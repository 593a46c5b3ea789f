using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using DoSandbox.Wire.Execd;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary>Reading and writing the JSON bodies and query parameters of the API.</summary>
internal static class Messages
{
    public const string Json = "application/json; charset=utf-8";

    /// <summary>The body as a message; null when it is empty and <paramref name="optional"/>.</summary>
    /// <exception cref="RequestException">400: not JSON of that shape.</exception>
    public static async Task<T?> ReadAsync<T>(HttpContext context, JsonTypeInfo<T> type, bool optional = false)
        where T : class
    {
        if (optional && context.Request.ContentLength is 0 or null && !context.Request.Headers.ContainsKey("Transfer-Encoding"))
        {
            return null;
        }

        try
        {
            return await JsonSerializer.DeserializeAsync(context.Request.Body, type, context.RequestAborted).ConfigureAwait(false)
                ?? throw RequestException.Invalid("The body is null.");
        }
        catch (JsonException e)
        {
            throw RequestException.Invalid($"The body is not the JSON that is expected here: {e.Message}");
        }
    }

    public static Task WriteAsync<T>(HttpContext context, T value, JsonTypeInfo<T> type, int status = 200)
    {
        var body = JsonSerializer.SerializeToUtf8Bytes(value, type);
        context.Response.StatusCode = status;
        context.Response.ContentType = Json;
        context.Response.ContentLength = body.Length;
        return context.Response.Body.WriteAsync(body, 0, body.Length, context.RequestAborted);
    }

    public static Task WriteErrorAsync(HttpContext context, int status, string code, string message) =>
        WriteAsync(context, new ErrorBody { Code = code, Message = message }, ExecdJson.Default.ErrorBody, status);

    /// <summary>A query parameter that must be there.</summary>
    /// <exception cref="RequestException">400 MISSING_QUERY.</exception>
    public static string RequiredQuery(HttpContext context, string name) =>
        context.Request.Query[name].ToString() is { Length: > 0 } value ? value : throw RequestException.MissingQuery(name);

    /// <summary>A number in the query, or null.</summary>
    /// <exception cref="RequestException">400: it is no whole number.</exception>
    public static long? NumberQuery(HttpContext context, string name)
    {
        var text = context.Request.Query[name].ToString();
        return text.Length == 0
            ? null
            : long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value)
                ? value
                : throw RequestException.Invalid($"The query parameter '{name}' is no number: {text}");
    }
}
