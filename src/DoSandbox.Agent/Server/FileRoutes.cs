using System.Text.Json;
using DoSandbox.Agent.Files;
using DoSandbox.Agent.Native;
using DoSandbox.Wire.Execd;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace DoSandbox.Agent.Server;

/// <summary><c>/files</c>: look at, find, send, fetch, change and remove files.</summary>
internal sealed class FileRoutes
{
    private const int MaxMetadata = 64 * 1024;
    private const int MaxFilesInAForm = 10_000;
    private const long MaxReplace = 64 * 1024 * 1024;

    private readonly PathExpander _paths;
    private readonly Accounts _accounts;
    private readonly FileEntries _entries;
    private readonly FileDownload _download;

    public FileRoutes(PathExpander paths, Accounts accounts)
    {
        _paths = paths;
        _accounts = accounts;
        _entries = new FileEntries(accounts);
        _download = new FileDownload(paths);
    }

    public Task HandleAsync(HttpContext context, string path) => (context.Request.Method, path) switch
    {
        ("GET", "/files/info") => InfoAsync(context),
        ("GET", "/files/search") => SearchAsync(context),
        ("POST", "/files/upload") => UploadAsync(context),
        ("GET" or "HEAD", "/files/download") => _download.SendAsync(context),
        ("POST", "/files/replace") => ReplaceAsync(context),
        ("POST", "/files/permissions") => SetPermissionsAsync(context),
        ("POST", "/files/mv") => MoveAsync(context),
        ("DELETE", "/files") => DeleteAsync(context),
        _ => throw Dispatcher.NoRoute(context),
    };

    /// <summary>Mode and owners of a request, checked.</summary>
    /// <exception cref="RequestException">400: the mode is none; 500: there is no such user or group.</exception>
    public static (uint? Mode, uint? Owner, uint? Group) ReadPermissions(Accounts accounts, FileMetadata metadata)
    {
        uint? mode = metadata.Mode is null or 0
            ? null
            : FileEntries.FromDigits(metadata.Mode.Value)
                ?? throw RequestException.Invalid($"The mode {metadata.Mode} is none: up to four digits from 0 to 7, as 644.");
        uint? owner = string.IsNullOrEmpty(metadata.Owner)
            ? null
            : accounts.FindUser(metadata.Owner) ?? throw RequestException.Failed($"There is no user {metadata.Owner}.");
        uint? group = string.IsNullOrEmpty(metadata.Group)
            ? null
            : accounts.FindGroup(metadata.Group) ?? throw RequestException.Failed($"There is no group {metadata.Group}.");
        return (mode, owner, group);
    }

    private Task InfoAsync(HttpContext context)
    {
        var result = new Dictionary<string, FileEntry>(StringComparer.Ordinal);
        foreach (var path in context.Request.Query["path"])
        {
            var bytes = FileSystem.Encode(_paths.Expand(context, path ?? ""));
            result[path!] = _entries.Describe(bytes, FileSystem.Stat(bytes, follow: false));
        }

        return Messages.WriteAsync(context, result, ExecdJson.Default.DictionaryStringFileEntry);
    }

    private Task SearchAsync(HttpContext context)
    {
        var root = FileSystem.Encode(_paths.Expand(context, Messages.RequiredQuery(context, "path")));
        var info = FileSystem.Stat(root, follow: false);
        Glob glob;
        try
        {
            glob = new Glob(context.Request.Query["pattern"].ToString() is { Length: > 0 } pattern ? pattern : "**");
        }
        catch (ArgumentException e)
        {
            throw RequestException.Failed(e.Message);
        }

        var found = FileSystem.IsType(info, Libc.S_IFDIR) ? TreeWalker.Walk(root, int.MaxValue) : [(root, info)];
        return EntryStream.WriteAsync(
            context,
            found
                .Where(file => !FileSystem.IsType(file.Info, Libc.S_IFDIR) && glob.IsMatch(FileNames.Show(FileNames.Last(file.Path))))
                .Select(file => _entries.Describe(file.Path, file.Info)));
    }

    private async Task UploadAsync(HttpContext context)
    {
        context.Features.Get<IHttpMaxRequestBodySizeFeature>()!.MaxRequestBodySize = null;
        var staged = new List<StagedFile>();
        try
        {
            try
            {
                await ReceiveAsync(context, staged).ConfigureAwait(false);
            }
            catch (Exception e) when (e is LinuxException or RequestException or InvalidDataException)
            {
                // A client sends its whole body before it reads the answer, so it has to be taken even if nobody wants it.
                await DiscardRestAsync(context).ConfigureAwait(false);
                throw e is InvalidDataException ? new RequestException(400, ExecdErrorCodes.InvalidFile, e.Message) : e;
            }

            foreach (var file in staged)
            {
                file.Commit();
            }
        }
        finally
        {
            foreach (var file in staged)
            {
                file.Dispose();
            }
        }
    }

    private async Task ReceiveAsync(HttpContext context, List<StagedFile> staged)
    {
        using var form = new MultipartReader(context.Request.Body, context.Request.ContentType);
        var waiting = new Queue<FileMetadata>();
        var files = 0;
        while (await form.NextAsync(context.RequestAborted).ConfigureAwait(false) is { } name)
        {
            switch (name)
            {
                case "metadata":
                    waiting.Enqueue(await ReadMetadataAsync(form, context.RequestAborted).ConfigureAwait(false));
                    break;
                case "file":
                    if (!waiting.TryDequeue(out var metadata))
                    {
                        throw new RequestException(400, ExecdErrorCodes.InvalidFileMetadata, "A file has no metadata before it.");
                    }

                    files++;
                    await ReceiveFileAsync(context, form, metadata, staged).ConfigureAwait(false);
                    break;
            }

            if (waiting.Count + files > MaxFilesInAForm)
            {
                throw new RequestException(400, ExecdErrorCodes.InvalidFile, $"The form has more than {MaxFilesInAForm} files.");
            }
        }

        if (files == 0)
        {
            throw waiting.Count == 0
                ? new RequestException(400, ExecdErrorCodes.InvalidFileMetadata, "The form has no metadata.")
                : new RequestException(400, ExecdErrorCodes.InvalidFileContent, "The form has no file.");
        }

        if (waiting.Count > 0)
        {
            throw new RequestException(400, ExecdErrorCodes.InvalidFile, $"The form has {files + waiting.Count} metadata and {files} files.");
        }
    }

    private static async Task<FileMetadata> ReadMetadataAsync(MultipartReader form, CancellationToken cancellation)
    {
        using var text = new MemoryStream();
        while (await form.ReadAsync(cancellation).ConfigureAwait(false) is { IsEmpty: false } piece)
        {
            if (text.Length + piece.Length > MaxMetadata)
            {
                throw new RequestException(400, ExecdErrorCodes.InvalidFileMetadata, $"The metadata has more than {MaxMetadata} bytes.");
            }

            text.Write(piece.Span);
        }

        FileMetadata? metadata;
        try
        {
            metadata = JsonSerializer.Deserialize(text.GetBuffer().AsSpan(0, (int)text.Length), ExecdJson.Default.FileMetadata);
        }
        catch (JsonException e)
        {
            throw new RequestException(400, ExecdErrorCodes.InvalidFileMetadata, $"The metadata is not the JSON that is expected here: {e.Message}");
        }

        return string.IsNullOrEmpty(metadata?.Path)
            ? throw new RequestException(400, ExecdErrorCodes.InvalidFileMetadata, "The metadata has no path.")
            : metadata;
    }

    private async Task ReceiveFileAsync(HttpContext context, MultipartReader form, FileMetadata metadata, List<StagedFile> staged)
    {
        var (mode, owner, group) = ReadPermissions(_accounts, metadata);
        var file = StagedFile.Create(_paths.Expand(context, metadata.Path!), mode);
        staged.Add(file);
        while (await form.ReadAsync(context.RequestAborted).ConfigureAwait(false) is { IsEmpty: false } piece)
        {
            file.Write(piece.Span);
        }

        file.Finish(owner, group);
    }

    private static async Task DiscardRestAsync(HttpContext context)
    {
        try
        {
            await context.Request.Body.CopyToAsync(Stream.Null, context.RequestAborted).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or BadHttpRequestException)
        {
            context.Abort();
        }
    }

    private async Task ReplaceAsync(HttpContext context)
    {
        var request = (await Messages.ReadAsync(context, ExecdJson.Default.DictionaryStringReplacement).ConfigureAwait(false))!;
        var counts = new Dictionary<string, ReplacementCount>(StringComparer.Ordinal);
        foreach (var (path, replacement) in request)
        {
            var full = _paths.Expand(context, path);
            using var file = FileSystem.OpenRegular(FileSystem.Encode(full), out var info);
            if (string.IsNullOrEmpty(replacement?.Old))
            {
                throw RequestException.Invalid("The text to be replaced is empty.");
            }

            if ((long)info.Size > MaxReplace)
            {
                throw RequestException.Invalid($"{path} has more than {MaxReplace} bytes; replace in it by a command, as sed.");
            }

            var content = new byte[info.Size];
            var length = RandomAccess.Read(file, content, 0);
            using var staged = StagedFile.Create(full, mode: null);
            counts[path] = new ReplacementCount
            {
                ReplacedCount = Replace(content.AsSpan(0, length), FileNames.ToBytes(replacement.Old).AsSpan(..^1), FileNames.ToBytes(replacement.New ?? "").AsSpan(..^1), staged),
            };
            staged.Finish(null, null);
            staged.Commit();
        }

        if (context.Request.Query["verbose"] == "true")
        {
            await Messages.WriteAsync(context, counts, ExecdJson.Default.DictionaryStringReplacementCount).ConfigureAwait(false);
        }
    }

    private static int Replace(ReadOnlySpan<byte> content, ReadOnlySpan<byte> old, ReadOnlySpan<byte> replacement, StagedFile result)
    {
        using var buffer = new MemoryStream(content.Length);
        var count = 0;
        while (content.IndexOf(old) is var found and >= 0)
        {
            buffer.Write(content[..found]);
            buffer.Write(replacement);
            content = content[(found + old.Length)..];
            count++;
        }

        buffer.Write(content);
        result.Write(buffer.GetBuffer().AsSpan(0, (int)buffer.Length));
        return count;
    }

    private async Task SetPermissionsAsync(HttpContext context)
    {
        var request = (await Messages.ReadAsync(context, ExecdJson.Default.DictionaryStringFileMetadata).ConfigureAwait(false))!;
        foreach (var (path, metadata) in request)
        {
            var (mode, owner, group) = ReadPermissions(_accounts, metadata ?? new FileMetadata());
            var bytes = FileSystem.Encode(_paths.Expand(context, path));
            FileSystem.Stat(bytes, follow: true);

            // The owner first: changing it takes setuid bits away.
            FileSystem.SetOwner(bytes, owner, group);
            if (mode is { } value)
            {
                FileSystem.SetMode(bytes, value);
            }
        }
    }

    private async Task MoveAsync(HttpContext context)
    {
        var request = (await Messages.ReadAsync(context, ExecdJson.Default.FileMoveArray).ConfigureAwait(false))!;
        foreach (var move in request)
        {
            var source = FileSystem.Encode(_paths.Expand(context, move?.Src ?? ""));
            var destination = FileNames.ToBytes(_paths.Expand(context, move?.Dest ?? ""));
            FileSystem.Stat(source, follow: false);
            FileSystem.MakeDirectories(FileNames.Parent(destination), 0x1ED /* 0755 */);
            try
            {
                FileSystem.Rename(source, destination, Libc.RENAME_NOREPLACE);
            }
            catch (LinuxException e) when (e.Error is Libc.EEXIST or Libc.ENOTEMPTY)
            {
                throw RequestException.Failed($"{move!.Dest} exists already.");
            }
        }
    }

    private Task DeleteAsync(HttpContext context)
    {
        foreach (var path in context.Request.Query["path"])
        {
            var bytes = FileSystem.Encode(_paths.Expand(context, path ?? ""));
            if (FileSystem.TryStat(bytes, follow: false) is { } info && FileSystem.IsType(info, Libc.S_IFDIR))
            {
                throw RequestException.Failed($"{path} is a directory.");
            }

            FileSystem.Unlink(bytes);
        }

        return Task.CompletedTask;
    }
}
