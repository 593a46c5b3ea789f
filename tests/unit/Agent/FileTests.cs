using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using DoSandbox.Wire.Execd;

namespace DoSandbox.UnitTests.Agent;

public sealed class FileTests(AgentProgram agent) : IClassFixture<AgentProgram>, IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("files-").FullName;

    public static TheoryData<string> OddNames => new("with space", "it's \"quoted\"", "new\nline", "-dash", "[br*ck?t]", "émoji 🐚", "a;b&c=d+e%20#f", new string('n', 255), "\\x41");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [MemberData(nameof(OddNames))]
    public async Task Odd_names_go_up_down_and_away(string name)
    {
        var path = $"{_folder}/deep/er/{name}";
        byte[] content = [.. Enumerable.Range(0, 256).Select(value => (byte)value)];
        Assert.Equal((200, ""), await UploadAsync((new FileMetadata { Path = path, Mode = 640 }, content)));
        Assert.Equal(content, await File.ReadAllBytesAsync(path));
        var info = await InfoAsync(path);
        Assert.Equal((path, "file", 256L, 640), (info.Path, info.Type, info.Size, info.Mode));
        using var answer = await agent.Client.GetAsync($"/files/download?path={Uri.EscapeDataString(path)}");
        Assert.Equal(content, await answer.Content.ReadAsByteArrayAsync());
        Assert.StartsWith("attachment; filename=", answer.Content.Headers.GetValues("Content-Disposition").Single(), StringComparison.Ordinal);
        Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, $"/files?path={Uri.EscapeDataString(path)}")).Status);
        Assert.False(File.Exists(path));
    }

    [Fact]
    public async Task Several_files_go_up_in_one_form_or_none_of_them()
    {
        Assert.Equal(200, (await UploadAsync((new() { Path = $"{_folder}/1" }, "one"u8.ToArray()), (new() { Path = $"{_folder}/2" }, []))).Status);
        Assert.Equal("one", await File.ReadAllTextAsync($"{_folder}/1"));
        Assert.Equal(0, new FileInfo($"{_folder}/2").Length);

        using var form = new MultipartFormDataContent { Metadata($"{_folder}/3"), Content([1]), Metadata($"{_folder}/4") };
        using var answer = await agent.Client.PostAsync("/files/upload", form);
        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Equal(["1", "2"], Directory.GetFileSystemEntries(_folder).Select(Path.GetFileName).Order());
    }

    [Fact]
    public async Task Content_that_looks_like_a_boundary_stays_content()
    {
        var content = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("\r\n--boundar\r\n--\r\n", 50_000)));
        Assert.Equal(200, (await UploadAsync((new() { Path = $"{_folder}/tricky" }, content))).Status);
        Assert.Equal(content, await File.ReadAllBytesAsync($"{_folder}/tricky"));
    }

    [Fact]
    public async Task An_upload_replaces_in_one_step_keeps_the_mode_and_follows_a_link()
    {
        await File.WriteAllTextAsync($"{_folder}/old", "old");
        File.SetUnixFileMode($"{_folder}/old", UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        File.CreateSymbolicLink($"{_folder}/link", "old");
        Assert.Equal(200, (await UploadAsync((new() { Path = $"{_folder}/link" }, "new"u8.ToArray()))).Status);
        Assert.Equal("new", await File.ReadAllTextAsync($"{_folder}/old"));
        Assert.Equal("symlink", (await InfoAsync($"{_folder}/link")).Type);
        Assert.Equal(700, (await InfoAsync($"{_folder}/old")).Mode);
    }

    [Fact]
    public async Task Bad_forms_have_their_codes()
    {
        Assert.Equal((400, "INVALID_FILE"), await FormAsync(new StringContent("no form")));
        Assert.Equal((400, "INVALID_FILE_METADATA"), await FormAsync(new MultipartFormDataContent { Content([1]) }));
        Assert.Equal((400, "INVALID_FILE_CONTENT"), await FormAsync(new MultipartFormDataContent { Metadata($"{_folder}/x") }));
        Assert.Equal((400, "INVALID_FILE_METADATA"), await FormAsync(new MultipartFormDataContent { Part("metadata", "{"u8.ToArray()), Content([1]) }));
        Assert.Equal((400, "INVALID_FILE_METADATA"), await FormAsync(new MultipartFormDataContent { Part("metadata", "{}"u8.ToArray()), Content([1]) }));
        Assert.Equal(500, (await UploadAsync((new() { Path = $"{_folder}/x", Owner = "nobody-of-that-name" }, [1]))).Status);
        Assert.Equal(500, (await UploadAsync((new() { Path = _folder }, [1]))).Status);
        Assert.Empty(Directory.GetFileSystemEntries(_folder));
    }

    [BubblewrapFact]
    public async Task A_full_disk_is_told_and_leaves_nothing()
    {
        using var small = new AgentProgram([], ["/usr/bin/bwrap", "--unshare-user", "--dev-bind", "/", "/", "--size", "1048576", "--tmpfs", "/mnt"]);
        using var form = new MultipartFormDataContent { Metadata("/mnt/big"), Content(new byte[30_000_000]) };
        using var answer = await small.Client.PostAsync("/files/upload", form);
        Assert.Equal(HttpStatusCode.InternalServerError, answer.StatusCode);
        Assert.Contains("No space left on device", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal("", (await small.RunAsync("ls -A /mnt")).OutputText);
    }

    [Fact]
    public async Task A_client_that_leaves_during_an_upload_leaves_nothing_behind()
    {
        using (var socket = await agent.ConnectAsync())
        {
            var head = $"--b\r\nContent-Disposition: form-data; name=metadata; filename=m\r\n\r\n{{\"path\":\"{_folder}/half\"}}\r\n--b\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\n";
            await socket.SendAsync(Encoding.ASCII.GetBytes($"POST /files/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000000\r\n\r\n{head}"));
            await socket.SendAsync(new byte[2_000_000]);
            await Eventually.TrueAsync(() => Directory.GetFileSystemEntries(_folder).Length == 1, "the upload begins");
        }

        await Eventually.TrueAsync(() => Directory.GetFileSystemEntries(_folder).Length == 0, "it is cleaned up");
    }

    [Theory]
    [InlineData("bytes=0-3", 206, "0123", "bytes 0-3/10")]
    [InlineData("bytes=7-", 206, "789", "bytes 7-9/10")]
    [InlineData("bytes=-2", 206, "89", "bytes 8-9/10")]
    [InlineData("bytes=5-100", 206, "56789", "bytes 5-9/10")]
    [InlineData("bytes=1-1,4-5", 206, "1", "bytes 1-1/10")]
    [InlineData("bytes=10-", 416, null, "bytes */10")]
    [InlineData("bytes=5-3", 416, null, "bytes */10")]
    [InlineData("lines=1", 416, null, "bytes */10")]
    public async Task Ranges(string range, int status, string? content, string contentRange)
    {
        await File.WriteAllTextAsync($"{_folder}/digits", "0123456789");
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/files/download?path={_folder}/digits");
        request.Headers.TryAddWithoutValidation("Range", range);
        using var answer = await agent.Client.SendAsync(request);
        Assert.Equal((status, contentRange), ((int)answer.StatusCode, answer.Content.Headers.GetValues("Content-Range").Single()));
        Assert.Equal(content ?? """{"code":"UNKNOWN"}""", await answer.Content.ReadAsStringAsync());
    }

    [Theory]
    [InlineData("a\nb\r\nc\n", "offset=1", "a\nb\nc")]
    [InlineData("a\nb\r\nc", "offset=2", "b\nc")]
    [InlineData("a\nb\nc\n", "limit=2", "a\nb")]
    [InlineData("\n\nx\n", "offset=1", "\n\nx")]
    [InlineData("a\nb\n", "offset=2&limit=5", "b")]
    [InlineData("a\n", "offset=9", "")]
    [InlineData("a\rb\r", "offset=1", "a\rb\r")]
    public async Task Lines(string content, string query, string expected)
    {
        await File.WriteAllTextAsync($"{_folder}/lines", content);
        Assert.Equal(expected, await agent.GetAsync($"/files/download?path={_folder}/lines&{query}"));
    }

    [Fact]
    public async Task What_cannot_be_downloaded_says_so_and_blocks_nothing()
    {
        await agent.RunAsync($"mkfifo {_folder}/pipe");
        Assert.Equal(500, (await agent.SendAsync(HttpMethod.Get, $"/files/download?path={_folder}/pipe")).Status);
        Assert.Equal(500, (await agent.SendAsync(HttpMethod.Get, $"/files/download?path={_folder}")).Status);
        Assert.Equal(500, (await agent.SendAsync(HttpMethod.Get, "/files/download?path=/dev/zero")).Status);
        Assert.Equal(404, (await agent.SendAsync(HttpMethod.Get, $"/files/download?path={_folder}/none")).Status);
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Get, "/files/download")).Status);
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Get, "/files/download?path=/etc/passwd&offset=0")).Status);
        Assert.StartsWith("Linux version", await agent.GetAsync("/files/download?path=/proc/version"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Info_follows_no_link_and_expands_variables()
    {
        File.CreateSymbolicLink($"{_folder}/dangling", "/nowhere");
        Assert.Equal("symlink", (await InfoAsync($"{_folder}/dangling")).Type);
        Assert.Equal((200, "{}"), await agent.SendAsync(HttpMethod.Get, "/files/info"));
        Assert.Equal(404, (await agent.SendAsync(HttpMethod.Get, $"/files/info?path={_folder}/none")).Status);
        Assert.Equal("directory", (await InfoAsync("~")).Type);
        Assert.Equal(500, (await agent.SendAsync(HttpMethod.Get, "/files/info?path=$NOT_DEFINED/x")).Status);
        await agent.RunAsync($"touch {_folder}/special; chmod 6751 {_folder}/special");
        Assert.Equal(6751, (await InfoAsync($"{_folder}/special")).Mode);
    }

    [Fact]
    public async Task Names_that_are_no_text_are_escaped_and_found_again()
    {
        await agent.RunAsync($"printf content > {_folder}/$(printf 'bad\\377name')");
        var listed = JsonSerializer.Deserialize(await agent.GetAsync($"/directories/list?path={_folder}"), ExecdJson.Default.FileEntryArray)!;
        Assert.Equal($"{_folder}/bad\\xffname", Assert.Single(listed).Path);
        Assert.Equal("content", await agent.GetAsync($"/files/download?path={Uri.EscapeDataString(listed[0].Path)}"));
        Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, $"/files?path={Uri.EscapeDataString(listed[0].Path)}")).Status);
        Assert.Empty(Directory.GetFileSystemEntries(_folder));
    }

    [Fact]
    public async Task Search_matches_names_of_files_at_every_depth()
    {
        await agent.RunAsync($"mkdir -p {_folder}/a.py/b && touch {_folder}/x.py {_folder}/a.py/y.py {_folder}/a.py/b/z.txt {_folder}/a.py/b/q.md");
        Assert.Equal(["a.py/y.py", "x.py"], await Found("*.py"));
        Assert.Equal(["a.py/b/q.md", "a.py/b/z.txt"], await Found("[p-z].{txt,md}"));
        Assert.Equal(4, (await Found("**")).Length);
        Assert.Equal(["x.py"], await Found("x?py"));
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Get, "/files/search")).Status);
        Assert.Equal(404, (await agent.SendAsync(HttpMethod.Get, "/files/search?path=/nope")).Status);
        Assert.Equal(500, (await agent.SendAsync(HttpMethod.Get, $"/files/search?path={_folder}&pattern=[a")).Status);

        async Task<string[]> Found(string pattern) =>
            [.. JsonSerializer.Deserialize(await agent.GetAsync($"/files/search?path={_folder}&pattern={Uri.EscapeDataString(pattern)}"), ExecdJson.Default.FileEntryArray)!
                .Select(entry => entry.Path[(_folder.Length + 1)..])];
    }

    [Fact]
    public async Task Replace_move_and_permissions()
    {
        await File.WriteAllTextAsync($"{_folder}/text", "one two one");
        Assert.Equal((200, $$$"""{"{{{_folder}}}/text":{"replacedCount":2}}"""), await PostAsync("/files/replace?verbose=true", $$$"""{"{{{_folder}}}/text":{"old":"one","new":"1"}}"""));
        Assert.Equal("1 two 1", await File.ReadAllTextAsync($"{_folder}/text"));
        Assert.Equal((200, ""), await PostAsync("/files/replace", $$$"""{"{{{_folder}}}/text":{"old":"two","new":""}}"""));
        Assert.Equal(400, (await PostAsync("/files/replace", $$$"""{"{{{_folder}}}/text":{"old":"","new":"1"}}""")).Status);
        Assert.Equal(404, (await PostAsync("/files/replace", $$$"""{"{{{_folder}}}/none":{"old":"a","new":"1"}}""")).Status);

        Assert.Equal(200, (await PostAsync("/files/permissions", $$$"""{"{{{_folder}}}/text":{"mode":1600}}""")).Status);
        Assert.Equal(1600, (await InfoAsync($"{_folder}/text")).Mode);
        Assert.Equal(400, (await PostAsync("/files/permissions", $$$"""{"{{{_folder}}}/text":{"mode":689}}""")).Status);
        Assert.Equal(500, (await PostAsync("/files/permissions", $$$"""{"{{{_folder}}}/text":{"owner":"nobody-of-that-name"}}""")).Status);

        Assert.Equal(200, (await PostAsync("/files/mv", $$$"""[{"src":"{{{_folder}}}/text","dest":"{{{_folder}}}/new/place"}]""")).Status);
        Assert.True(File.Exists($"{_folder}/new/place"));
        await File.WriteAllTextAsync($"{_folder}/other", "");
        Assert.Equal(500, (await PostAsync("/files/mv", $$$"""[{"src":"{{{_folder}}}/other","dest":"{{{_folder}}}/new/place"}]""")).Status);
        Assert.Equal(404, (await PostAsync("/files/mv", $$$"""[{"src":"{{{_folder}}}/text","dest":"{{{_folder}}}/x"}]""")).Status);
        Assert.Equal(500, (await agent.SendAsync(HttpMethod.Delete, $"/files?path={_folder}/new")).Status);
        Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, $"/files?path={_folder}/never-was")).Status);
    }

    [Fact]
    public async Task Directories_are_made_listed_and_removed()
    {
        Assert.Equal(200, (await PostAsync("/directories", $$$"""{"{{{_folder}}}/p/q":{"mode":700},"{{{_folder}}}/p/r":{}}""")).Status);
        Assert.Equal(700, (await InfoAsync($"{_folder}/p/q")).Mode);
        Assert.Equal(200, (await PostAsync("/directories", $$$"""{"{{{_folder}}}/p/q":{"mode":755}}""")).Status);
        Assert.Equal(700, (await InfoAsync($"{_folder}/p/q")).Mode);
        await agent.RunAsync($"cd {_folder}; touch keep p/q/f; ln -s {_folder}/keep p/link; ln -s {_folder} p/loop; mkdir p/closed; chmod 500 p/q/..");
        Assert.Equal(["p/closed", "p/link", "p/loop", "p/q", "p/r"], await ListedAsync("p", 1));
        Assert.Equal(["p/closed", "p/link", "p/loop", "p/q", "p/q/f", "p/r"], await ListedAsync("p", 9));
        Assert.Empty(await ListedAsync("p", 0));
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Get, $"/directories/list?path={_folder}/p/loop")).Status);
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Get, $"/directories/list?path={_folder}/keep")).Status);
        Assert.Equal(404, (await agent.SendAsync(HttpMethod.Get, $"/directories/list?path={_folder}/none")).Status);
        await agent.RunAsync($"chmod 700 {_folder}/p; mkdir {_folder}/target; touch {_folder}/target/safe; ln -s target {_folder}/p/to-target");
        Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, $"/directories?path={_folder}/p/to-target/")).Status);
        Assert.True(File.Exists($"{_folder}/target/safe"));
        Directory.Delete($"{_folder}/target", recursive: true);
        Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, $"/directories?path={_folder}/p&path={_folder}/none")).Status);
        Assert.Equal(["keep"], Directory.GetFileSystemEntries(_folder).Select(Path.GetFileName));
        Assert.Equal(400, (await agent.SendAsync(HttpMethod.Delete, "/directories?path=/tmp/..")).Status);
    }

    [Fact]
    public async Task Deep_and_wide_directories()
    {
        await agent.RunAsync($"cd {_folder}; mkdir wide; (cd wide; seq 10000 | xargs touch); for i in $(seq 600); do mkdir ddddddddddd; cd -P ddddddddddd; done; touch bottom");
        Assert.Equal(10_000, (await ListedAsync("wide", 1)).Length);
        Assert.Equal(200, (await agent.SendAsync(HttpMethod.Delete, $"/directories?path={_folder}/ddddddddddd&path={_folder}/wide")).Status);
        Assert.Empty(Directory.GetFileSystemEntries(_folder));
    }

    [Fact]
    public async Task Metrics_tell_of_the_processes()
    {
        var metrics = JsonSerializer.Deserialize(await agent.GetAsync("/metrics"), ExecdJson.Default.Metrics)!;
        Assert.Equal(Environment.ProcessorCount, metrics.CpuCount);
        Assert.InRange(metrics.CpuUsedPct, 0, 100);
        Assert.InRange(metrics.MemUsedMib, 1, metrics.MemTotalMib);
    }

    private static ByteArrayContent Part(string name, byte[] content) => new(content)
    {
        Headers = { ContentDisposition = new ContentDispositionHeaderValue("form-data") { Name = name, FileName = name } },
    };

    private static ByteArrayContent Metadata(string path) =>
        Part("metadata", JsonSerializer.SerializeToUtf8Bytes(new FileMetadata { Path = path }, ExecdJson.Default.FileMetadata));

    private static ByteArrayContent Content(byte[] content) => Part("file", content);

    private async Task<(int Status, string Body)> UploadAsync(params (FileMetadata Metadata, byte[] Content)[] files)
    {
        using var form = new MultipartFormDataContent();
        foreach (var (metadata, content) in files)
        {
            form.Add(Part("metadata", JsonSerializer.SerializeToUtf8Bytes(metadata, ExecdJson.Default.FileMetadata)));
            form.Add(Content(content));
        }

        using var answer = await agent.Client.PostAsync("/files/upload", form);
        return ((int)answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    private async Task<(int Status, string? Code)> FormAsync(HttpContent content)
    {
        using var answer = await agent.Client.PostAsync("/files/upload", content);
        return ((int)answer.StatusCode, JsonSerializer.Deserialize(await answer.Content.ReadAsStringAsync(), ExecdJson.Default.ErrorBody)!.Code);
    }

    private Task<(int Status, string Body)> PostAsync(string path, string json) => agent.SendAsync(HttpMethod.Post, path, json);

    private async Task<FileEntry> InfoAsync(string path) =>
        Assert.Single(JsonSerializer.Deserialize(await agent.GetAsync($"/files/info?path={Uri.EscapeDataString(path)}"), ExecdJson.Default.DictionaryStringFileEntry)!).Value;

    private async Task<string[]> ListedAsync(string path, int depth) =>
        [.. JsonSerializer.Deserialize(await agent.GetAsync($"/directories/list?path={_folder}/{path}&depth={depth}"), ExecdJson.Default.FileEntryArray)!
            .Select(entry => entry.Path[(_folder.Length + 1)..])];
}
