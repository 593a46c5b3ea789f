using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;
using DoSandbox.Commands;
using DoSandbox.Errors;
using DoSandbox.Files;
using DoSandbox.Wire.Execd;

namespace DoSandbox.Connections.Execd;

/// <summary>Files over execd's routes.</summary>
internal sealed class ExecdFileSystem : ISandboxFileSystem
{
    private const int MaxAnswer = 16 * 1024 * 1024;

    /// <summary>How long a transfer may stand still.</summary>
    private static readonly TimeSpan StallBound = TimeSpan.FromSeconds(60);

    private readonly ExecdConnection _connection;
    private readonly ExecdHttp _http;

    public ExecdFileSystem(ExecdConnection connection, ExecdHttp http)
    {
        _connection = connection;
        _http = http;
    }

    /// <inheritdoc/>
    public async Task<SandboxFile?> GetAsync(string path, CancellationToken cancellationToken)
    {
        path = await CheckAsync(path, cancellationToken).ConfigureAwait(false);
        try
        {
            var body = await _http.CallAsync(Request(HttpMethod.Get, "/files/info?path=" + Uri.EscapeDataString(path)),
                $"look at {SafeText.Clean(path, 300)}", MaxAnswer, ExecdHttp.AnswerBound, cancellationToken).ConfigureAwait(false);
            var entry = Parse(body, ExecdJson.Default.DictionaryStringFileEntry)?.Values.FirstOrDefault();
            return entry is null ? null : ToFile(entry) with { FullName = path };
        }
        catch (SandboxException missing) when (missing.Code is SandboxErrorCode.FileNotFound or SandboxErrorCode.NotADirectory)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<SandboxFile> ListAsync(string path, int depth, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        path = await CheckAsync(path, cancellationToken).ConfigureAwait(false);
        var what = $"list {SafeText.Clean(path, 300)}";
        using var limit = new StallLimit(StallBound, cancellationToken);
        var (opened, listed) = await OpenListAsync(path, depth, what, limit, cancellationToken).ConfigureAwait(false);
        using var response = opened;
        var stream = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
        await using (stream.ConfigureAwait(false))
        {
            var entries = JsonSerializer.DeserializeAsyncEnumerable(stream, ExecdJson.Default.FileEntry, limit.Token).GetAsyncEnumerator(limit.Token);
            await using (entries.ConfigureAwait(false))
            {
                while (await StepAsync(entries, what, limit, cancellationToken).ConfigureAwait(false))
                {
                    if (entries.Current is { } entry)
                    {
                        var file = ToFile(entry);
                        yield return listed == path || !file.FullName.StartsWith(listed + "/", StringComparison.Ordinal)
                            ? file
                            : file with { FullName = path + file.FullName[listed.Length..] };
                    }
                }
            }
        }
    }

    /// <inheritdoc/>
    public async Task<Stream> OpenReadAsync(string path, CancellationToken cancellationToken)
    {
        path = await CheckAsync(path, cancellationToken).ConfigureAwait(false);
        var what = $"read {SafeText.Clean(path, 300)}";
        var limit = new StallLimit(StallBound, cancellationToken);
        HttpResponseMessage? response = null;
        try
        {
            response = await OpenAsync(Request(HttpMethod.Get, "/files/download?path=" + Uri.EscapeDataString(path)), what,
                SandboxErrorCode.PermissionDenied, limit, cancellationToken).ConfigureAwait(false);
            var stream = await response.Content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
            return new DownloadStream(_http, response, stream, StallBound, what);
        }
        catch (SandboxException refused) when (refused.Code is not (SandboxErrorCode.FileNotFound or SandboxErrorCode.Network or SandboxErrorCode.SandboxEnded))
        {
            response?.Dispose();
            // execd says in words of its own what is not a file.
            if (await GetAsync(path, cancellationToken).ConfigureAwait(false) is { Type: SandboxFileType.Directory })
            {
                throw new SandboxException(SandboxErrorCode.IsADirectory, $"Could not {what}: it is a directory.") { SandboxId = _http.SandboxId };
            }

            throw;
        }
        catch
        {
            response?.Dispose();
            throw;
        }
        finally
        {
            limit.Dispose();
        }
    }

    /// <inheritdoc/>
    public async Task WriteAsync(string path, Stream content, UnixFileMode? mode, CancellationToken cancellationToken)
    {
        path = await CheckAsync(path, cancellationToken).ConfigureAwait(false);
        if ((await _connection.GetExtensionsAsync(cancellationToken).ConfigureAwait(false)).Run)
        {
            await UploadAsync(path, content, mode, cancellationToken).ConfigureAwait(false);
            return;
        }

        using var cleanUp = new CleanUpLimit(cancellationToken);
        // A stock execd writes in place: a name beside it and a rename make it whole or nothing.
        var old = await GetAsync(path, cancellationToken).ConfigureAwait(false);
        if (old is { Type: SandboxFileType.Directory })
        {
            throw new SandboxException(SandboxErrorCode.IsADirectory, $"Could not write {SafeText.Clean(path, 300)}: it is a directory.") { SandboxId = _http.SandboxId };
        }

        var temporary = SandboxPath.Combine(SandboxPath.ParentOf(path), $".dosandbox-{Guid.NewGuid():N}");
        try
        {
            await UploadAsync(temporary, content, mode ?? (old is { Type: SandboxFileType.File } ? old.Mode : null), cancellationToken).ConfigureAwait(false);
            await RunAsync($"mv -f -- {ShellQuote.Quote(temporary)} {ShellQuote.Quote(path)}", $"write {SafeText.Clean(path, 300)}", cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            await cleanUp.RunAsync(bound => DeleteAsync(temporary, bound)).ConfigureAwait(false);
            throw;
        }
    }

    /// <inheritdoc/>
    public async Task CreateDirectoryAsync(string path, UnixFileMode? mode, CancellationToken cancellationToken)
    {
        path = await CheckAsync(path, cancellationToken).ConfigureAwait(false);
        var body = new Dictionary<string, FileMetadata>(StringComparer.Ordinal) { [path] = new() { Mode = mode is { } bits ? ToWire(bits) : 755 } };
        await CallAsync(HttpMethod.Post, "/directories", $"make the directory {SafeText.Clean(path, 300)}",
            ExecdHttp.Json(body, ExecdJson.Default.DictionaryStringFileMetadata), cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async Task DeleteAsync(string path, CancellationToken cancellationToken)
    {
        path = await CheckAsync(path, cancellationToken).ConfigureAwait(false);
        if (path == "/")
        {
            throw new SandboxException(SandboxErrorCode.InvalidArgument, "The root of a sandbox cannot be removed.", "Remove the sandbox with Remove-Sandbox.");
        }

        if (await GetAsync(path, cancellationToken).ConfigureAwait(false) is { } file)
        {
            var route = file.Type == SandboxFileType.Directory ? "/directories?path=" : "/files?path=";
            await CallAsync(HttpMethod.Delete, route + Uri.EscapeDataString(path), $"remove {SafeText.Clean(path, 300)}", null, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <inheritdoc/>
    public async Task MoveAsync(string source, string destination, CancellationToken cancellationToken)
    {
        var move = new FileMove
        {
            Src = await CheckAsync(source, cancellationToken).ConfigureAwait(false),
            Dest = await CheckAsync(destination, cancellationToken).ConfigureAwait(false),
        };
        await CallAsync(HttpMethod.Post, "/files/mv", $"move {SafeText.Clean(move.Src, 300)} to {SafeText.Clean(move.Dest, 300)}",
            ExecdHttp.Json([move], ExecdJson.Default.FileMoveArray), cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async Task SetModeAsync(string path, UnixFileMode mode, CancellationToken cancellationToken)
    {
        path = await CheckAsync(path, cancellationToken).ConfigureAwait(false);
        var what = $"set the mode of {SafeText.Clean(path, 300)}";
        if (mode == UnixFileMode.None)
        {
            // On the wire 0 means "leave it".
            await RunAsync($"chmod 0 -- {ShellQuote.Quote(path)}", what, cancellationToken).ConfigureAwait(false);
            return;
        }

        var body = new Dictionary<string, FileMetadata>(StringComparer.Ordinal) { [path] = new() { Mode = ToWire(mode) } };
        await CallAsync(HttpMethod.Post, "/files/permissions", what, ExecdHttp.Json(body, ExecdJson.Default.DictionaryStringFileMetadata), cancellationToken)
            .ConfigureAwait(false);
    }

    /// <summary>Uploads as the agent does it: in one step where it is ours, in place where it is not.</summary>
    internal async Task UploadAsync(string path, Stream content, UnixFileMode? mode, CancellationToken cancellationToken)
    {
        var what = $"write {SafeText.Clean(path, 300)}";
        content = await ExactContent.OfAsync(content, cancellationToken).ConfigureAwait(false);
        using var limit = new StallLimit(StallBound, cancellationToken);
        var body = new UploadContent(new FileMetadata { Path = path, Mode = mode is { } bits and not UnixFileMode.None ? ToWire(bits) : null }, content, limit);
        using var response = await OpenAsync(Request(HttpMethod.Post, "/files/upload", body), what, SandboxErrorCode.ProtocolViolation, limit, cancellationToken)
            .ConfigureAwait(false);
        if (mode == UnixFileMode.None)
        {
            await SetModeAsync(path, UnixFileMode.None, cancellationToken).ConfigureAwait(false);
        }
    }

    private static int ToWire(UnixFileMode mode) => int.Parse(Convert.ToString((int)mode & 0xfff, 8), CultureInfo.InvariantCulture);

    private static UnixFileMode FromWire(int digits)
    {
        var bits = 0;
        for (var (rest, shift) = (digits, 0); rest > 0 && shift < 12; rest /= 10, shift += 3)
        {
            bits |= (rest % 10 & 7) << shift;
        }

        return (UnixFileMode)bits;
    }

    private static T? Parse<T>(byte[] body, System.Text.Json.Serialization.Metadata.JsonTypeInfo<T> type)
    {
        try
        {
            return JsonSerializer.Deserialize(body, type);
        }
        catch (JsonException fault)
        {
            throw new SandboxException(SandboxErrorCode.ProtocolViolation, $"The sandbox sent what its protocol does not allow: {SafeText.Clean(fault.Message)}", null, fault);
        }
    }

    private SandboxFile ToFile(FileEntry entry) => new()
    {
        FullName = entry.Path,
        Type = entry.Type switch
        {
            "file" => SandboxFileType.File,
            "directory" => SandboxFileType.Directory,
            "symlink" => SandboxFileType.SymbolicLink,
            _ => SandboxFileType.Other,
        },
        Size = entry.Size,
        Mode = FromWire(entry.Mode),
        Owner = entry.Owner,
        Group = entry.Group,
        ModifiedAt = entry.ModifiedAt,
        SandboxId = _http.SandboxId,
    };

    /// <summary>The path, made plain.</summary>
    /// <exception cref="SandboxException">InvalidArgument; NotSupported: the agent would take a part of it for a variable.</exception>
    private async ValueTask<string> CheckAsync(string path, CancellationToken cancellationToken)
    {
        path = SandboxPath.Normalize(path);
        return path.Contains('$', StringComparison.Ordinal) && !(await _connection.GetExtensionsAsync(cancellationToken).ConfigureAwait(false)).ExactPaths
            ? throw new SandboxException(SandboxErrorCode.NotSupported, $"The sandbox's agent takes $ in a path for a variable: {SafeText.Clean(path, 300)}",
                "Rename the file by a command in the sandbox first.") { SandboxId = _http.SandboxId }
            : path;
    }

    private HttpRequestMessage Request(HttpMethod method, string route, HttpContent? content = null)
    {
        var request = _http.Request(method, route, content);
        // Without meaning to an agent that does not know it.
        request.Headers.TryAddWithoutValidation(Wire.Run.AgentExtensions.ExactPathsHeader, "1");
        return request;
    }

    private async Task<(HttpResponseMessage Response, string Listed)> OpenListAsync(string path, int depth, string what, StallLimit limit, CancellationToken cancellationToken)
    {
        try
        {
            return (await OpenAsync(Request(HttpMethod.Get, Query(path)), what, SandboxErrorCode.NotADirectory, limit, cancellationToken).ConfigureAwait(false), path);
        }
        catch (SandboxException refused) when (refused.Code == SandboxErrorCode.NotADirectory)
        {
            // execd lists no directory through a link.
            if (await GetAsync(path, cancellationToken).ConfigureAwait(false) is not { Type: SandboxFileType.SymbolicLink }
                || await SandboxTransfer.ResolveAsync(_connection, path, cancellationToken).ConfigureAwait(false) is not { } real)
            {
                throw;
            }

            return (await OpenAsync(Request(HttpMethod.Get, Query(real)), what, SandboxErrorCode.NotADirectory, limit, cancellationToken).ConfigureAwait(false), real);
        }

        string Query(string directory) => string.Create(CultureInfo.InvariantCulture, $"/directories/list?path={Uri.EscapeDataString(directory)}&depth={depth}");
    }

    private async Task CallAsync(HttpMethod method, string route, string what, HttpContent? content, CancellationToken cancellationToken) =>
        await _http.CallAsync(Request(method, route, content), what, MaxAnswer, ExecdHttp.AnswerBound, cancellationToken).ConfigureAwait(false);

    private async Task RunAsync(string command, string what, CancellationToken cancellationToken)
    {
        var result = await _connection.RunToEndAsync(new CommandRequest(command) { Timeout = ExecdHttp.AnswerBound }, cancellationToken).ConfigureAwait(false);
        if (!result.Success)
        {
            throw _http.ErrorFor(500, null, result.Stderr.Trim(), what, SandboxErrorCode.ProtocolViolation);
        }
    }

    private async Task<HttpResponseMessage> OpenAsync(HttpRequestMessage request, string what, SandboxErrorCode fallback, StallLimit limit, CancellationToken cancellationToken)
    {
        HttpResponseMessage? response = null;
        try
        {
            limit.Moved();
            response = await _http.SendRawAsync(request, limit.Token).ConfigureAwait(false);
            if (response.IsSuccessStatusCode)
            {
                return response;
            }

            throw await _http.ReadErrorAsync(response, what, fallback, limit.Token).ConfigureAwait(false);
        }
        catch (SandboxException)
        {
            response?.Dispose();
            throw;
        }
        catch (Exception fault)
        {
            response?.Dispose();
            cancellationToken.ThrowIfCancellationRequested();
            if (request.Content is UploadContent { SourceFault: { } source })
            {
                System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(source);
            }

            throw await _http.ExplainAsync(fault, $"Could not {what}", SandboxErrorCode.Network).ConfigureAwait(false);
        }
        finally
        {
            request.Dispose();
        }
    }

    private async ValueTask<bool> StepAsync(IAsyncEnumerator<FileEntry?> entries, string what, StallLimit limit, CancellationToken cancellationToken)
    {
        try
        {
            limit.Moved();
            var more = await entries.MoveNextAsync().ConfigureAwait(false);
            limit.Pause();
            return more;
        }
        catch (JsonException fault)
        {
            throw new SandboxException(SandboxErrorCode.ProtocolViolation, $"Could not {what}: the sandbox sent what its protocol does not allow.", null, fault) { SandboxId = _http.SandboxId };
        }
        catch (Exception fault) when (fault is not SandboxException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw await _http.ExplainAsync(fault, $"Could not {what}", SandboxErrorCode.Network).ConfigureAwait(false);
        }
    }
}
