using System.Security.Cryptography;
using DoSandbox.Commands;
using DoSandbox.Errors;
using DoSandbox.Files;

namespace DoSandbox.ConformanceTests;

public abstract partial class ConnectionConformance
{
    /// <summary>Names that have broken something somewhere.</summary>
    public static TheoryData<string> OddNames =>
    [
        "plain", "with space", " leading and trailing ", "it's", "\"double\"", "line\nend", "tab\there", "-rf", "--", "[a]*?", "back\\slash", "semi;colon&", "ä€😀", "#%+?&=",
        "..dots", "...", "~", "new\r\nline", new string('n', 255), new string('€', 85), "$HOME", "a${PATH}b", "$(id)`id`",
    ];

    [Theory]
    [MemberData(nameof(OddNames))]
    public async Task A_file_may_have_any_name(string name)
    {
        var path = $"{Home}/{name}";
        if (!AnyFileName && name.Contains('$', StringComparison.Ordinal))
        {
            Assert.Equal(SandboxErrorCode.NotSupported, (await Assert.ThrowsAsync<SandboxException>(() => Connection.Files.GetAsync(path, default))).Code);
            return;
        }

        await Connection.Files.WriteAsync(path, new MemoryStream("content\n"u8.ToArray()), null, default);
        Assert.Equal("content\n", await OkAsync($"cat -- {ShellQuote.Quote(path)}"));
        var file = await Connection.Files.GetAsync(path, default);
        Assert.Equal((path, name, SandboxFileType.File, 8L), (file!.FullName, file.Name, file.Type, file.Size));
        Assert.Equal([path], (await ListAsync(Home)).Select(entry => entry.FullName));
        Assert.Equal("content\n"u8.ToArray(), await ReadAsync(path));

        await Connection.Files.MoveAsync(path, $"{Home}/moved", default);
        await Connection.Files.MoveAsync($"{Home}/moved", path, default);
        var local = Directory.CreateTempSubdirectory("dosandbox-names-");
        try
        {
            var fetched = await CollectAsync(SandboxTransfer.DownloadAsync(Connection, path, local.FullName + "/", new TransferOptions(), default));
            Assert.Equal([Path.Combine(local.FullName, name)], fetched.Select(info => info.FullName));
            Assert.Equal("content\n", await File.ReadAllTextAsync(Path.Combine(local.FullName, name)));
            var sent = await CollectAsync(SandboxTransfer.UploadAsync(Connection, Path.Combine(local.FullName, name), Home + "/", new TransferOptions { Force = true }, default));
            Assert.Equal([path], sent.Select(entry => entry.FullName));
        }
        finally
        {
            local.Delete(recursive: true);
        }

        await Connection.Files.DeleteAsync(path, default);
        Assert.Null(await Connection.Files.GetAsync(path, default));
        await Connection.Files.DeleteAsync(path, default);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(5_000_000)]
    public async Task A_file_goes_both_ways_byte_for_byte(int length)
    {
        var content = new byte[length];
        new Random(length).NextBytes(content);
        await Connection.Files.WriteAsync($"{Home}/seekable", new MemoryStream(content), null, default);
        await Connection.Files.WriteAsync($"{Home}/unseekable", new UnseekableStream(new MemoryStream(content)), null, default);
        var sum = Convert.ToHexStringLower(SHA256.HashData(content));
        Assert.Equal($"{sum}\n{sum}\n", await OkAsync($"sha256sum {Home}/seekable {Home}/unseekable | cut -c1-64"));
        var read = await ReadAsync($"{Home}/unseekable");
        Assert.True(content.AsSpan().SequenceEqual(read));
    }

    [Theory]
    [InlineData(0x1ff)]
    [InlineData(0x1ed)]
    [InlineData(0x1a4)]
    [InlineData(0x180)]
    [InlineData(0x100)]
    [InlineData(0x8)]
    [InlineData(0)]
    public async Task Permissions_are_set_and_told(int bits)
    {
        var mode = (UnixFileMode)bits;
        var path = $"{Home}/file";
        await Connection.Files.WriteAsync(path, new MemoryStream([1]), mode, default);
        Assert.Equal(mode, (await Connection.Files.GetAsync(path, default))!.Mode);
        Assert.Equal($"{Convert.ToString(bits, 8)}\n", await OkAsync($"stat -c %a {path}"));
        await Connection.Files.SetModeAsync(path, (UnixFileMode)0x1b0, default);
        await Connection.Files.SetModeAsync(path, mode, default);
        Assert.Equal(mode, (await Connection.Files.GetAsync(path, default))!.Mode);
    }

    [Fact]
    public async Task Writing_again_keeps_the_permissions_where_none_are_given()
    {
        await Connection.Files.WriteAsync($"{Home}/file", new MemoryStream([1]), (UnixFileMode)0x1c8, default);
        await Connection.Files.WriteAsync($"{Home}/file", new MemoryStream([2]), null, default);
        Assert.Equal((UnixFileMode)0x1c8, (await Connection.Files.GetAsync($"{Home}/file", default))!.Mode);
    }

    [Fact]
    public async Task Until_all_of_it_is_there_a_file_holds_what_it_held()
    {
        var path = $"{Home}/file";
        await Connection.Files.WriteAsync(path, new MemoryStream("old"u8.ToArray()), null, default);
        var content = new HaltingStream(new byte[300_000]);
        var writing = Connection.Files.WriteAsync(path, content, null, default);
        await content.Halted.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal("old"u8.ToArray(), await ReadAsync(path));
        content.GoOn();
        await writing;
        Assert.Equal(300_000, (await ReadAsync(path)).Length);
        Assert.Equal([path], (await ListAsync(Home)).Select(entry => entry.FullName));
    }

    [Fact]
    public async Task An_upload_that_is_given_up_leaves_nothing()
    {
        var path = $"{Home}/file";
        await Connection.Files.WriteAsync(path, new MemoryStream("old"u8.ToArray()), null, default);
        using var cancel = new CancellationTokenSource();
        var content = new HaltingStream(new byte[3_000_000]);
        var writing = Connection.Files.WriteAsync(path, content, null, cancel.Token);
        await content.Halted.WaitAsync(TimeSpan.FromSeconds(20));
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => writing);
        await EventuallyAsync(async () => (await ListAsync(Home)).Count == 1, "A part of the upload is left.");
        Assert.Equal("old"u8.ToArray(), await ReadAsync(path));
    }

    [Fact]
    public async Task A_fault_of_the_source_is_told_as_it_is_and_leaves_nothing()
    {
        var fault = await Assert.ThrowsAnyAsync<Exception>(() => Connection.Files.WriteAsync($"{Home}/file", new UnseekableStream(new FaultyStream()), null, default));
        Assert.Contains("broken input", fault.ToString(), StringComparison.Ordinal);
        await EventuallyAsync(async () => (await ListAsync(Home)).Count == 0, "A part of the upload is left.");
    }

    [Fact]
    public async Task Missing_parents_are_made()
    {
        await Connection.Files.WriteAsync($"{Home}/a/b/c", new MemoryStream([1]), null, default);
        await Connection.Files.CreateDirectoryAsync($"{Home}/d/e/f", (UnixFileMode)0x1c0, default);
        await Connection.Files.CreateDirectoryAsync($"{Home}/d/e/f", null, default);
        Assert.Equal("700\n", await OkAsync($"stat -c %a {Home}/d/e/f"));
        Assert.Equal([$"{Home}/a", $"{Home}/a/b", $"{Home}/a/b/c"], (await ListAsync(Home, 3)).Select(entry => entry.FullName).Where(name => name.StartsWith($"{Home}/a", StringComparison.Ordinal)));
        await Connection.Files.DeleteAsync($"{Home}/a", default);
        Assert.Null(await Connection.Files.GetAsync($"{Home}/a", default));
    }

    [Fact]
    public async Task Links_are_told_as_links_and_read_through()
    {
        await OkAsync($"cd {Home} && echo -n x > target && ln -s target link && mkdir dir && touch dir/inside && ln -s dir dirlink && ln -s nowhere dangling");
        Assert.Equal(SandboxFileType.SymbolicLink, (await Connection.Files.GetAsync($"{Home}/link", default))!.Type);
        Assert.Equal("x"u8.ToArray(), await ReadAsync($"{Home}/link"));
        Assert.Equal([$"{Home}/dirlink/inside"], (await ListAsync($"{Home}/dirlink")).Select(entry => entry.FullName));
        await Connection.Files.DeleteAsync($"{Home}/dirlink", default);
        Assert.Equal("inside\n", await OkAsync($"ls {Home}/dir"));
    }

    [Fact]
    public async Task What_cannot_be_done_says_why()
    {
        await OkAsync($"mkdir {Home}/dir && echo x > {Home}/file");
        Assert.Equal(SandboxErrorCode.FileNotFound, await CodeOfAsync(() => ReadAsync($"{Home}/missing")));
        Assert.Equal(SandboxErrorCode.IsADirectory, await CodeOfAsync(() => ReadAsync($"{Home}/dir")));
        Assert.Equal(SandboxErrorCode.IsADirectory, await CodeOfAsync(() => Connection.Files.WriteAsync($"{Home}/dir", new MemoryStream([1]), null, default)));
        Assert.Equal(SandboxErrorCode.NotADirectory, await CodeOfAsync(() => Connection.Files.WriteAsync($"{Home}/file/below", new MemoryStream([1]), null, default)));
        Assert.Equal(SandboxErrorCode.FileNotFound, await CodeOfAsync(() => ListAsync($"{Home}/missing")));
        Assert.Equal(SandboxErrorCode.NotADirectory, await CodeOfAsync(() => ListAsync($"{Home}/file")));
        Assert.Equal(SandboxErrorCode.FileNotFound, await CodeOfAsync(() => Connection.Files.MoveAsync($"{Home}/missing", $"{Home}/x", default)));
        Assert.Equal(SandboxErrorCode.FileExists, await CodeOfAsync(() => Connection.Files.MoveAsync($"{Home}/file", $"{Home}/dir", default)));
        Assert.Equal(SandboxErrorCode.InvalidArgument, await CodeOfAsync(() => ReadAsync("relative")));
        Assert.Null(await Connection.Files.GetAsync($"{Home}/file/below", default));
    }

    [Fact]
    public async Task Wildcards_find_what_a_shell_finds()
    {
        await OkAsync($"cd {Home} && mkdir -p a/x b/x c && touch a/x/1.py a/x/.hidden.py b/x/2.py b/x/2.txt 'c/[1].py' && ln -s a link");
        Assert.Equal([$"{Home}/a/x/1.py", $"{Home}/b/x/2.py", $"{Home}/link/x/1.py"], await CollectAsync(SandboxGlob.ExpandAsync(Connection, $"{Home}/*/x/*.py", default)));
        Assert.Equal([$"{Home}/a/x", $"{Home}/b/x", $"{Home}/link/x"], await CollectAsync(SandboxGlob.ExpandAsync(Connection, $"{Home}/*/x", default)));
        Assert.Equal([$"{Home}/c/[1].py"], await CollectAsync(SandboxGlob.ExpandAsync(Connection, $"{Home}/c/`[1`].py", default)));
        Assert.Empty(await CollectAsync(SandboxGlob.ExpandAsync(Connection, $"{Home}/*.nothing", default)));
    }

    protected static async Task<List<T>> CollectAsync<T>(IAsyncEnumerable<T> items)
    {
        var list = new List<T>();
        await foreach (var item in items)
        {
            list.Add(item);
        }

        return list;
    }

    private static async Task<SandboxErrorCode> CodeOfAsync(Func<Task> action) => (await Assert.ThrowsAnyAsync<SandboxException>(action)).Code;

    private Task<List<SandboxFile>> ListAsync(string path, int depth = 1) => CollectAsync(Connection.Files.ListAsync(path, depth, default));

    private async Task<byte[]> ReadAsync(string path)
    {
        await using var content = await Connection.Files.OpenReadAsync(path, default);
        var bytes = new MemoryStream();
        await content.CopyToAsync(bytes);
        return bytes.ToArray();
    }

    /// <summary>Gives half of its bytes, and the rest when it is told to.</summary>
    private sealed class HaltingStream(byte[] content) : MemoryStream(content)
    {
        private readonly TaskCompletionSource _halted = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Halted => _halted.Task;

        public void GoOn() => _goOn.SetResult();

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var half = (int)Length / 2;
            if (Position >= half)
            {
                _halted.TrySetResult();
                await _goOn.Task.WaitAsync(cancellationToken);
                return Read(buffer.Span);
            }

            return Read(buffer.Span[..Math.Min(buffer.Length, half - (int)Position)]);
        }
    }
}
