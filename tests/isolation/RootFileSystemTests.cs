using DoSandbox.Errors;
using DoSandbox.Sandboxes;

namespace DoSandbox.IsolationTests;

/// <summary>Another root: from a directory, and from archives, also hostile ones.</summary>
public sealed class RootFileSystemTests : IDisposable
{
    private readonly string _folder = $"/tmp/dosbx-root-{Guid.NewGuid():N}";

    /// <summary>Makes a root of a few of this machine's programs and the libraries that they name.</summary>
    public RootFileSystemTests() => HostShell.RunAsync($$"""
        set -e
        mkdir -p {{_folder}}/root/bin {{_folder}}/root/etc
        cd {{_folder}}/root
        for name in sh ls cat id readlink; do
            cp -L "$(command -v $name)" bin/$name
            ldd bin/$name | grep -o '/[^ ]*' | while read -r library; do mkdir -p ".$(dirname $library)"; cp -L $library .$library; done
        done
        ln -s /bin/cat bin/absolute
        echo 'root:x:0:0::/:/bin/sh' > etc/passwd
        echo mine > etc/marker
        """).GetAwaiter().GetResult();

    [Fact]
    public async Task A_directory_becomes_the_root_read_only()
    {
        await using var sandbox = await TestSandbox.CreateAsync(new SandboxSpec { RootFileSystem = $"{_folder}/root" });
        var result = await sandbox.ShellAsync("cat /etc/marker; id -un; echo x > /etc/new || echo refused; ls /usr 2>&1; echo fine > /app/file; cat /app/file");
        Assert.StartsWith("mine\nsandbox\n", result.Stdout, StringComparison.Ordinal);
        Assert.Contains("refused", result.Stdout, StringComparison.Ordinal);
        Assert.EndsWith("fine\n", result.Stdout, StringComparison.Ordinal);
        Assert.Equal("root", sandbox.Sandbox.Image);
        Assert.False(File.Exists($"{_folder}/root/etc/new"));
    }

    [Theory]
    [InlineData("cf", "root.tar")]
    [InlineData("czf", "root.tar.gz")]
    [InlineData("cJf", "root.tar.xz")]
    public async Task An_archive_becomes_the_root(string option, string name)
    {
        await HostShell.RunAsync($"tar -C {_folder}/root -{option} {_folder}/{name} .");
        await using var sandbox = await TestSandbox.CreateAsync(new SandboxSpec { RootFileSystem = $"{_folder}/{name}" });
        Assert.Equal("mine\n/bin/cat\n", (await sandbox.ShellAsync("cat /etc/marker; readlink /bin/absolute")).Stdout);
        Assert.Equal(name, sandbox.Sandbox.Image);
    }

    [Fact]
    public async Task A_hostile_archive_writes_nothing_outside()
    {
        var victim = $"/tmp/dosbx-victim-{Guid.NewGuid():N}";
        Directory.CreateDirectory(victim);
        try
        {
            await HostShell.RunAsync($"""
                cd {_folder}/root && python3 - <<'END'
                import tarfile, io
                with tarfile.open('{_folder}/evil.tar', 'w') as tar:
                    tar.add('bin'); tar.add('etc')
                    def put(name, kind=tarfile.REGTYPE, link=''):
                        info = tarfile.TarInfo(name); info.type = kind; info.linkname = link
                        if kind == tarfile.REGTYPE: info.size = 4; tar.addfile(info, io.BytesIO(b'evil'))
                        else: tar.addfile(info)
                    put('out', tarfile.SYMTYPE, '{victim}'); put('out/planted')
                    put('../../../../../../../../{victim}/planted2'); put('{victim}/planted3')
                    put('hard', tarfile.LNKTYPE, '/etc/shadow'); put('device', tarfile.CHRTYPE)
                END
                """);
            try
            {
                await using var sandbox = await TestSandbox.CreateAsync(new SandboxSpec { RootFileSystem = $"{_folder}/evil.tar" });
                Assert.DoesNotContain(":$", (await sandbox.ShellAsync("cat /hard 2>/dev/null; true")).Stdout, StringComparison.Ordinal);
            }
            catch (SandboxException exception)
            {
                Assert.Equal(SandboxErrorCode.InvalidArgument, exception.Code);
            }

            Assert.Empty(Directory.GetFileSystemEntries(victim));
        }
        finally
        {
            Directory.Delete(victim, recursive: true);
        }
    }

    [Fact]
    public async Task What_is_no_root_is_refused_and_nothing_stays()
    {
        await File.WriteAllTextAsync($"{_folder}/text", "this is no archive");
        Directory.CreateDirectory($"{_folder}/empty");
        foreach (var (root, image, code) in new[]
        {
            ($"{_folder}/text", null, SandboxErrorCode.InvalidArgument),
            ($"{_folder}/empty", null, SandboxErrorCode.InvalidArgument),
            ($"{_folder}/missing", null, SandboxErrorCode.InvalidArgument),
            ($"{_folder}/root", "python", SandboxErrorCode.ToolMissing),
        })
        {
            var name = $"root-{Guid.NewGuid():N}";
            var refused = await Assert.ThrowsAsync<SandboxException>(() => TestSandbox.CreateAsync(new SandboxSpec { RootFileSystem = root, Image = image, Name = name }));
            Assert.Equal(code, refused.Code);
            Assert.NotEmpty(refused.Advice);
            Assert.Null(new FileInfo($"{StateHome.Path}/names/{name}").LinkTarget);
        }
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
