using System.Text;
using DoSandbox.Errors;
using DoSandbox.Files;

namespace DoSandbox.ConformanceTests;

public abstract partial class ConnectionConformance
{
    [Fact]
    public async Task A_directory_goes_there_and_comes_back_the_same()
    {
        using var local = new LocalFolder();
        var source = local.Path("tree");
        await MakeTreeAsync(source);
        var sent = await CollectAsync(SandboxTransfer.UploadAsync(Connection, source, $"{Home}/new/", new TransferOptions(), default));
        Assert.Equal($"{Home}/new/tree", sent[0].FullName);
        Assert.Equal("content\n", await OkAsync($"cat {Home}/new/tree/sub/file"));
        Assert.Equal("755 700 600 444\n", (await OkAsync($"cd {Home}/new/tree && stat -c %a script sub private readonly | tr '\\n' ' '")).TrimEnd() + "\n");

        var back = local.Path("back");
        var fetched = await CollectAsync(SandboxTransfer.DownloadAsync(Connection, $"{Home}/new/tree", back, new TransferOptions(), default));
        Assert.Equal(back, fetched[0].FullName);
        Assert.Equal(Describe(source), Describe(back));
        Assert.Equal("tree\n", await OkAsync($"ls -A {Home}/new"));
        Assert.Equal(["back", "tree"], Directory.GetFileSystemEntries(local.Root).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Directories_are_named_as_cp_names_them()
    {
        using var local = new LocalFolder();
        Directory.CreateDirectory(local.Path("d"));
        await File.WriteAllTextAsync(local.Path("d/f"), "1");
        await UploadAsync(local.Path("d"), $"{Home}/new");
        await UploadAsync(local.Path("d"), $"{Home}/new");
        Assert.Equal("f\n", await OkAsync($"ls {Home}/new/d"));
        await UploadAsync(local.Path("d/f"), $"{Home}/new/d2/");
        await UploadAsync(local.Path("d/f"), $"{Home}/new/g");
        Assert.Equal("d\nd/f\nd2\nd2/f\nf\ng\n", await OkAsync($"cd {Home}/new && find * | sort"));
    }

    [Fact]
    public async Task Nothing_is_overwritten_without_force()
    {
        using var local = new LocalFolder();
        Directory.CreateDirectory(local.Path("d"));
        await File.WriteAllTextAsync(local.Path("d/f"), "new\n");
        await OkAsync($"mkdir {Home}/d && echo old > {Home}/d/f && echo kept > {Home}/d/other");
        Assert.Equal(SandboxErrorCode.FileExists, await CodeOfAsync(() => UploadAsync(local.Path("d"), Home)));
        Assert.Equal(SandboxErrorCode.FileExists, await CodeOfAsync(() => UploadAsync(local.Path("d/f"), $"{Home}/d/f")));
        Assert.Equal("old\n", await OkAsync($"cat {Home}/d/f"));
        await UploadAsync(local.Path("d"), Home, force: true);
        Assert.Equal("new\nkept\n", await OkAsync($"cat {Home}/d/f {Home}/d/other"));
        Assert.Equal("f\nother\n", await OkAsync($"ls -A {Home}/d"));

        await OkAsync($"echo again > {Home}/d/f");
        Assert.Equal(SandboxErrorCode.FileExists, await CodeOfAsync(() => DownloadAsync($"{Home}/d", local.Root)));
        Assert.Equal(SandboxErrorCode.FileExists, await CodeOfAsync(() => DownloadAsync($"{Home}/d/f", local.Path("d"))));
        Assert.Equal("new\n", await File.ReadAllTextAsync(local.Path("d/f")));
        await File.WriteAllTextAsync(local.Path("d/mine"), "mine");
        await DownloadAsync($"{Home}/d", local.Root, force: true);
        Assert.Equal("again\n", await File.ReadAllTextAsync(local.Path("d/f")));
        Assert.Equal(["f", "mine", "other"], Directory.GetFileSystemEntries(local.Path("d")).Select(Path.GetFileName).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_downloaded_link_never_leads_outside()
    {
        using var local = new LocalFolder();
        await OkAsync($"mkdir -p {Home}/d/sub && cd {Home}/d && echo in > file && ln -s /etc absolute && ln -s ../../.. up && ln -s ../file sub/good && ln -s sub/../.. sly && mkfifo pipe");
        var warnings = new List<string>();
        await CollectAsync(SandboxTransfer.DownloadAsync(Connection, $"{Home}/d", local.Path("d"), new TransferOptions { Warning = warnings.Add }, default));
        Assert.Equal(["file", "sub"], Directory.GetFileSystemEntries(local.Path("d")).Select(Path.GetFileName).Order(StringComparer.Ordinal));
        Assert.Equal("../file", new FileInfo(local.Path("d/sub/good")).LinkTarget);
        Assert.Equal(4, warnings.Count(warning => warning.Contains("left out", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_planted_link_of_this_machine_is_replaced_and_not_followed()
    {
        using var local = new LocalFolder();
        await OkAsync($"echo new > {Home}/file");
        await File.WriteAllTextAsync(local.Path("victim"), "old");
        File.CreateSymbolicLink(local.Path("file"), local.Path("victim"));
        Assert.Equal(SandboxErrorCode.FileExists, await CodeOfAsync(() => DownloadAsync($"{Home}/file", local.Root)));
        await DownloadAsync($"{Home}/file", local.Root, force: true);
        Assert.Equal("old", await File.ReadAllTextAsync(local.Path("victim")));
        Assert.Equal("new\n", await File.ReadAllTextAsync(local.Path("file")));
        Assert.Null(new FileInfo(local.Path("file")).LinkTarget);
    }

    [Fact]
    public async Task A_download_that_fails_leaves_nothing()
    {
        using var local = new LocalFolder();
        Assert.Equal(SandboxErrorCode.FileNotFound, await CodeOfAsync(() => DownloadAsync($"{Home}/missing", local.Root)));
        using var cancel = new CancellationTokenSource();
        await OkAsync($"mkdir {Home}/d && echo x > {Home}/d/small && truncate -s 2G {Home}/d/big");
        var options = new TransferOptions { Progress = new Immediate<TransferProgress>(_ => cancel.Cancel()) };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => CollectAsync(SandboxTransfer.DownloadAsync(Connection, $"{Home}/d", local.Path("d"), options, cancel.Token)));
        Assert.Empty(Directory.GetFileSystemEntries(local.Root));
    }

    [Fact]
    public async Task A_directory_upload_that_fails_leaves_nothing()
    {
        using var local = new LocalFolder();
        Directory.CreateDirectory(local.Path("d"));
        await File.WriteAllTextAsync(local.Path("d/small"), "x");
        using (var big = File.Create(local.Path("d/zbig")))
        {
            big.SetLength(2L * 1024 * 1024 * 1024);
        }

        using var cancel = new CancellationTokenSource();
        var options = new TransferOptions { Progress = new Immediate<TransferProgress>(_ => cancel.Cancel()) };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => CollectAsync(SandboxTransfer.UploadAsync(Connection, local.Path("d"), $"{Home}/d", options, cancel.Token)));
        await EventuallyAsync(async () => await OkAsync($"ls -A {Home}") == "", "A part of the upload is left.");
    }

    [Fact]
    public async Task Without_tar_directories_go_file_by_file()
    {
        using var local = new LocalFolder();
        await MakeTreeAsync(local.Path("tree"));
        var plain = new WithoutTar(Connection);
        var warnings = new List<string>();
        var options = new TransferOptions { Warning = warnings.Add };
        await CollectAsync(SandboxTransfer.UploadAsync(plain, local.Path("tree"), $"{Home}/tree", options, default));
        await CollectAsync(SandboxTransfer.DownloadAsync(plain, $"{Home}/tree", local.Path("back"), options, default));
        Assert.Equal(Describe(local.Path("tree"), times: false), Describe(local.Path("back"), times: false));
        Assert.Equal(2, warnings.Count(warning => warning.Contains("no tar", StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_new_directory_keeps_its_mode_and_one_that_was_there_keeps_its_own(bool tar)
    {
        using var local = new LocalFolder();
        Directory.CreateDirectory(local.Path("d/closed"));
        await File.WriteAllTextAsync(local.Path("d/closed/f"), "1");
        File.SetUnixFileMode(local.Path("d/closed"), (UnixFileMode)0x140);
        File.SetUnixFileMode(local.Path("d"), (UnixFileMode)0x1c0);
        await using var connection = tar ? null : new WithoutTar(Connection);
        try
        {
            await CollectAsync(SandboxTransfer.UploadAsync(connection ?? Connection, local.Path("d"), $"{Home}/new", new TransferOptions(), default));
            Assert.Equal("700 500\n", await OkAsync($"cd {Home}/new && echo $(stat -c %a . closed)"));
            await OkAsync($"chmod 750 {Home}/new && mkdir {Home}/d && chmod 711 {Home}/d");
            await CollectAsync(SandboxTransfer.UploadAsync(connection ?? Connection, local.Path("d"), Home, new TransferOptions { Force = true }, default));
            Assert.Equal("711 500\n", await OkAsync($"cd {Home}/d && echo $(stat -c %a . closed)"));
        }
        finally
        {
            File.SetUnixFileMode(local.Path("d/closed"), (UnixFileMode)0x1c0);
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_file_that_does_not_tell_its_size_is_sent_whole(bool tar)
    {
        const string folder = "/proc/sys/fs/epoll";
        const string name = "max_user_watches";
        var content = await File.ReadAllTextAsync($"{folder}/{name}");
        Assert.NotEmpty(content);
        Assert.Equal(0, new FileInfo($"{folder}/{name}").Length);
        await using var connection = tar ? null : new WithoutTar(Connection);
        var file = Assert.Single(await CollectAsync(SandboxTransfer.UploadAsync(Connection, $"{folder}/{name}", $"{Home}/file", new TransferOptions { Force = true }, default)));
        Assert.Equal(content.Length, file.Size);
        Assert.Equal(content, await OkAsync($"cat {Home}/file"));
        var files = await CollectAsync(SandboxTransfer.UploadAsync(connection ?? Connection, folder, $"{Home}/folder", new TransferOptions(), default));
        Assert.Equal(content.Length, files[^1].Size);
        Assert.Equal(content, await OkAsync($"cat {Home}/folder/{name}"));
        Assert.Equal(content, (await RunAsync("cat", File.OpenRead($"{folder}/{name}"))).Stdout);
    }

    [Fact]
    public async Task A_file_that_shrinks_while_it_is_sent_is_told_and_nothing_of_it_is_left()
    {
        using var local = new LocalFolder();
        Directory.CreateDirectory(local.Path("d"));
        foreach (var source in new[] { "d", "d/big" })
        {
            using var big = new FileStream(local.Path("d/big"), FileMode.Create, FileAccess.Write, FileShare.ReadWrite);
            big.SetLength(2L * 1024 * 1024 * 1024);
            var options = new TransferOptions { Progress = new Immediate<TransferProgress>(_ => big.SetLength(1000)) };
            Assert.Equal(SandboxErrorCode.IntegrityMismatch, await CodeOfAsync(() => CollectAsync(SandboxTransfer.UploadAsync(Connection, local.Path(source), $"{Home}/x", options, default))));
            await EventuallyAsync(async () => await OkAsync($"ls -A {Home}") == "", "A part of the upload is left.");
        }
    }

    [Fact]
    public async Task Progress_ends_with_the_whole()
    {
        using var local = new LocalFolder();
        await File.WriteAllBytesAsync(local.Path("file"), new byte[3_000_000]);
        var reports = new List<TransferProgress>();
        var options = new TransferOptions { Force = true, Progress = new Immediate<TransferProgress>(reports.Add) };
        await CollectAsync(SandboxTransfer.UploadAsync(Connection, local.Path("file"), $"{Home}/file", options, default));
        Assert.Equal(new TransferProgress("file", 3_000_000, 3_000_000), reports[^1]);
        await CollectAsync(SandboxTransfer.DownloadAsync(Connection, $"{Home}/file", local.Path("file"), options, default));
        Assert.Equal(new TransferProgress("file", 3_000_000, 3_000_000), reports[^1]);
    }

    private static async Task MakeTreeAsync(string root)
    {
        Directory.CreateDirectory(Path.Combine(root, "sub/deeper"));
        Directory.CreateDirectory(Path.Combine(root, "empty"));
        await File.WriteAllTextAsync(Path.Combine(root, "sub/file"), "content\n");
        await File.WriteAllTextAsync(Path.Combine(root, "script"), "#!/bin/sh\n");
        await File.WriteAllTextAsync(Path.Combine(root, "private"), "secret");
        await File.WriteAllTextAsync(Path.Combine(root, "readonly"), "fixed");
        await File.WriteAllBytesAsync(Path.Combine(root, "sub/deeper/nothing"), []);
        await File.WriteAllBytesAsync(Path.Combine(root, "sub/deeper/-odd 'name'\n€"), Encoding.UTF8.GetBytes(new string('x', 100_000)));
        await File.WriteAllTextAsync(Path.Combine(root, new string('n', 255)), "long");
        File.CreateSymbolicLink(Path.Combine(root, "sub/up"), "../script");
        File.CreateSymbolicLink(Path.Combine(root, "sub/dangling"), new string('d', 150));
        File.SetUnixFileMode(Path.Combine(root, "script"), (UnixFileMode)0x1ed);
        File.SetUnixFileMode(Path.Combine(root, "private"), (UnixFileMode)0x180);
        File.SetUnixFileMode(Path.Combine(root, "readonly"), (UnixFileMode)0x124);
        File.SetUnixFileMode(Path.Combine(root, "sub"), (UnixFileMode)0x1c0);
        File.SetLastWriteTimeUtc(Path.Combine(root, "script"), DateTime.UnixEpoch.AddDays(1000));
    }

    private static List<string> Describe(string root, bool times = true) => Directory
        .EnumerateFileSystemEntries(root, "*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.None })
        .Select(path => new FileInfo(path) is { LinkTarget: { } target }
            ? $"{Path.GetRelativePath(root, path)} -> {target}"
            : File.Exists(path)
                ? $"{Path.GetRelativePath(root, path)} {File.GetUnixFileMode(path)} {(times ? new DateTimeOffset(File.GetLastWriteTimeUtc(path)).ToUnixTimeSeconds() : 0)} {File.ReadAllText(path)}"
                : $"{Path.GetRelativePath(root, path)} {File.GetUnixFileMode(path)}")
        .Order(StringComparer.Ordinal).ToList();

    private Task UploadAsync(string path, string destination, bool force = false) =>
        CollectAsync(SandboxTransfer.UploadAsync(Connection, path, destination, new TransferOptions { Force = force }, default));

    private Task DownloadAsync(string path, string destination, bool force = false) =>
        CollectAsync(SandboxTransfer.DownloadAsync(Connection, path, destination, new TransferOptions { Force = force }, default));

    private sealed class Immediate<T>(Action<T> report) : IProgress<T>
    {
        public void Report(T value) => report(value);
    }

    private sealed class LocalFolder : IDisposable
    {
        public string Root { get; } = Directory.CreateTempSubdirectory("dosandbox-local-").FullName;

        public string Path(string name) => System.IO.Path.Combine(Root, name);

        public void Dispose() => Directory.Delete(Root, recursive: true);
    }
}
