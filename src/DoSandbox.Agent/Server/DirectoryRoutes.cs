using DoSandbox.Agent.Files;
using DoSandbox.Agent.Native;
using DoSandbox.Wire.Execd;
using Microsoft.AspNetCore.Http;

namespace DoSandbox.Agent.Server;

/// <summary><c>/directories</c>: list, make and remove directories.</summary>
internal sealed class DirectoryRoutes(PathExpander paths, Accounts accounts)
{
    private readonly FileEntries _entries = new(accounts);

    public Task HandleAsync(HttpContext context, string path) => (context.Request.Method, path) switch
    {
        ("GET", "/directories/list") => ListAsync(context),
        ("POST", "/directories") => MakeAsync(context),
        ("DELETE", "/directories") => DeleteAsync(context),
        _ => throw Dispatcher.NoRoute(context),
    };

    private Task ListAsync(HttpContext context)
    {
        var path = paths.Expand(context, Messages.RequiredQuery(context, "path"));
        var depth = Messages.NumberQuery(context, "depth") ?? 1;
        if (depth < 0)
        {
            throw RequestException.Invalid("The depth is at least 0.");
        }

        var root = FileSystem.Encode(path);
        var info = FileSystem.Stat(root, follow: false);
        if (FileSystem.IsType(info, Libc.S_IFLNK))
        {
            throw RequestException.Invalid($"{path} is a symbolic link, which is not followed.");
        }

        if (!FileSystem.IsType(info, Libc.S_IFDIR))
        {
            throw RequestException.Invalid($"{path} is not a directory.");
        }

        return EntryStream.WriteAsync(
            context,
            TreeWalker.Walk(root, (int)Math.Min(depth, int.MaxValue)).Select(file => _entries.Describe(file.Path, file.Info)));
    }

    private async Task MakeAsync(HttpContext context)
    {
        var request = (await Messages.ReadAsync(context, ExecdJson.Default.DictionaryStringFileMetadata).ConfigureAwait(false))!;
        foreach (var (path, metadata) in request)
        {
            var (mode, owner, group) = FileRoutes.ReadPermissions(accounts, metadata ?? new FileMetadata());
            var bytes = FileNames.ToBytes(paths.Expand(context, path));
            if (!FileSystem.MakeDirectories(bytes))
            {
                continue;
            }

            FileSystem.SetOwner(bytes, owner, group);
            if (mode is { } value)
            {
                FileSystem.SetMode(bytes, value);
            }
        }
    }

    private Task DeleteAsync(HttpContext context)
    {
        foreach (var path in context.Request.Query["path"])
        {
            var full = paths.Expand(context, path ?? "");
            if (full == "/")
            {
                throw RequestException.Invalid("The root directory cannot be removed.");
            }

            TreeRemover.Remove(FileSystem.Encode(full));
        }

        return Task.CompletedTask;
    }
}
