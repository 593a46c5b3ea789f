using System.Formats.Tar;
using System.Text;
using DoSandbox.Errors;
using DoSandbox.Files;
using DoSandbox.Files.Archives;
using FsCheck;
using FsCheck.Fluent;
using TarEntry = System.Formats.Tar.TarEntry;

namespace DoSandbox.UnitTests.Core;

public sealed class TarTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dosandbox-tar-").FullName;
    private int _runs;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void No_archive_ever_writes_outside_its_destination()
    {
        var part = Gen.Elements("a", "b", "c", "..", ".", "", "l", "m");
        var name = from parts in Gen.NonEmptyListOf(part)
                   from absolute in Gen.Frequency((8, Gen.Constant("")), (1, Gen.Constant("/")), (1, Gen.Constant(_folder + "/outside/")))
                   select absolute + string.Join('/', parts.Take(5));
        var entry = from type in Gen.Elements(TarEntryType.RegularFile, TarEntryType.Directory, TarEntryType.SymbolicLink, TarEntryType.SymbolicLink,
                        TarEntryType.HardLink, TarEntryType.Fifo, TarEntryType.CharacterDevice)
                    from path in name
                    from target in name
                    select (Type: type, Path: path, Target: target);
        var outcomes = new Dictionary<string, int>(StringComparer.Ordinal);
        Prop.ForAll(Gen.NonEmptyListOf(entry).ToArbitrary(), entries =>
        {
            var (home, outside) = NewHome();
            var before = Snapshot(outside);
            var outcome = "whole";
            try
            {
                Extract(Pack(entries), Path.Combine(home, "destination"));
                AssertLinksStayInside(Path.Combine(home, "destination"));
            }
            catch (SandboxException refused) when (refused.Code == SandboxErrorCode.UnsafeArchive)
            {
                outcome = "refused";
                Assert.Empty(Directory.GetFileSystemEntries(home));
            }

            outcomes[outcome] = outcomes.GetValueOrDefault(outcome) + 1;
            Assert.Equal(before, Snapshot(outside));
            Assert.All(Directory.GetFileSystemEntries(home), path => Assert.Equal("destination", Path.GetFileName(path)));
            return true;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(500));
        Assert.True(outcomes.Count == 2, "The cases are one-sided.");
    }

    [Theory]
    [InlineData("/etc/passwd")]
    [InlineData("../evil")]
    [InlineData("a/../../evil")]
    [InlineData("a/..")]
    public void A_name_that_leads_outside_refuses_the_whole(string name) =>
        AssertRefused(new UstarTarEntry(TarEntryType.RegularFile, "fine") { DataStream = new MemoryStream([1]) },
            new UstarTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream([2]) });

    [Fact]
    public void A_file_behind_a_link_of_the_same_archive_refuses_the_whole() =>
        AssertRefused(new PaxTarEntry(TarEntryType.SymbolicLink, "door") { LinkName = "." },
            new PaxTarEntry(TarEntryType.RegularFile, "door/evil") { DataStream = new MemoryStream([1]) });

    [Fact]
    public void A_link_with_the_name_of_a_directory_refuses_the_whole() =>
        AssertRefused(new PaxTarEntry(TarEntryType.RegularFile, "door/file") { DataStream = new MemoryStream([1]) },
            new PaxTarEntry(TarEntryType.SymbolicLink, "door") { LinkName = "/etc" });

    [Fact]
    public void A_file_that_comes_twice_refuses_the_whole() =>
        AssertRefused(new PaxTarEntry(TarEntryType.RegularFile, "a") { DataStream = new MemoryStream([1]) },
            new PaxTarEntry(TarEntryType.RegularFile, "./a") { DataStream = new MemoryStream([2]) });

    [Fact]
    public void A_hard_link_to_what_was_not_sent_refuses_the_whole() =>
        AssertRefused(new PaxTarEntry(TarEntryType.HardLink, "shadow") { LinkName = "/etc/shadow" });

    [Fact]
    public void Links_are_made_only_where_all_of_them_together_stay_inside()
    {
        var (home, _) = NewHome();
        var destination = Path.Combine(home, "destination");
        var warnings = Extract(Pack(
            new PaxTarEntry(TarEntryType.Directory, "d/e"),
            new PaxTarEntry(TarEntryType.RegularFile, "file") { DataStream = new MemoryStream([7]) },
            new PaxTarEntry(TarEntryType.SymbolicLink, "d/good") { LinkName = "../file" },
            new PaxTarEntry(TarEntryType.SymbolicLink, "dangling") { LinkName = "not/there" },
            new PaxTarEntry(TarEntryType.SymbolicLink, "d/e/root") { LinkName = "../.." },
            new PaxTarEntry(TarEntryType.SymbolicLink, "sly") { LinkName = "d/e/root/.." },
            new PaxTarEntry(TarEntryType.SymbolicLink, "loop") { LinkName = "loop/x" },
            new PaxTarEntry(TarEntryType.SymbolicLink, "absolute") { LinkName = "/etc" },
            new PaxTarEntry(TarEntryType.SymbolicLink, "up") { LinkName = "../x" }), destination);

        Assert.Equal(["d/e/root", "d/good", "dangling"],
            Directory.EnumerateFileSystemEntries(destination, "*", SearchOption.AllDirectories)
                .Where(path => new FileInfo(path).LinkTarget is not null).Select(path => Path.GetRelativePath(destination, path))
                .Where(path => !path.StartsWith("d/e/root/", StringComparison.Ordinal)).Order(StringComparer.Ordinal));
        Assert.Equal(4, warnings.Count);
        Assert.Equal([7], File.ReadAllBytes(Path.Combine(destination, "d/good")));
    }

    [Fact]
    public void Devices_and_pipes_are_left_out_with_a_warning()
    {
        var (home, _) = NewHome();
        var warnings = Extract(Pack(new PaxTarEntry(TarEntryType.Fifo, "pipe"), new PaxTarEntry(TarEntryType.CharacterDevice, "null") { DeviceMajor = 1, DeviceMinor = 3 },
            new PaxTarEntry(TarEntryType.RegularFile, "file") { DataStream = new MemoryStream() }), Path.Combine(home, "destination"));
        Assert.Equal(2, warnings.Count);
        Assert.Equal(["file"], Directory.GetFileSystemEntries(Path.Combine(home, "destination")).Select(Path.GetFileName));
    }

    [Fact]
    public void Setuid_is_dropped_and_the_other_permissions_are_kept()
    {
        var (home, _) = NewHome();
        var destination = Path.Combine(home, "destination");
        Extract(Pack(new PaxTarEntry(TarEntryType.RegularFile, "root") { Mode = (UnixFileMode)0xfed, DataStream = new MemoryStream([1]) },
            new PaxTarEntry(TarEntryType.Directory, "closed") { Mode = (UnixFileMode)0x140 },
            new PaxTarEntry(TarEntryType.RegularFile, "closed/inside") { Mode = (UnixFileMode)0x100, DataStream = new MemoryStream([2]) }), destination);
        Assert.Equal((UnixFileMode)0x1ed, File.GetUnixFileMode(Path.Combine(destination, "root")));
        Assert.Equal((UnixFileMode)0x100, File.GetUnixFileMode(Path.Combine(destination, "closed/inside")));
    }

    [Fact]
    public void Merging_never_goes_through_a_link_of_this_machine()
    {
        var (home, outside) = NewHome();
        var destination = Path.Combine(home, "destination");
        Directory.CreateDirectory(destination);
        Directory.CreateSymbolicLink(Path.Combine(destination, "sub"), outside);
        var before = Snapshot(outside);
        var refused = Assert.Throws<SandboxException>(() =>
            Extract(Pack(new PaxTarEntry(TarEntryType.RegularFile, "sub/keep") { DataStream = new MemoryStream([9]) }), destination, force: true));
        Assert.Equal(SandboxErrorCode.NotADirectory, refused.Code);
        Assert.Equal(before, Snapshot(outside));

        File.CreateSymbolicLink(Path.Combine(destination, "file"), Path.Combine(outside, "keep"));
        Extract(Pack(new PaxTarEntry(TarEntryType.RegularFile, "file") { DataStream = new MemoryStream([9]) }), destination, force: true);
        Assert.Equal(before, Snapshot(outside));
        Assert.Null(new FileInfo(Path.Combine(destination, "file")).LinkTarget);
        Assert.Equal([9], File.ReadAllBytes(Path.Combine(destination, "file")));
    }

    [Fact]
    public void Merging_leaves_the_modes_of_directories_that_were_there()
    {
        const UnixFileMode mine = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
        var (home, _) = NewHome();
        var destination = Path.Combine(home, "destination");
        foreach (var old in new[] { "", "priv", "implied" })
        {
            Directory.CreateDirectory(Path.Combine(destination, old), mine);
        }

        Extract(Pack(new PaxTarEntry(TarEntryType.Directory, "./") { Mode = (UnixFileMode)0x1ff },
            new PaxTarEntry(TarEntryType.Directory, "priv") { Mode = (UnixFileMode)0x1ff },
            new PaxTarEntry(TarEntryType.RegularFile, "priv/file") { DataStream = new MemoryStream([1]) },
            new PaxTarEntry(TarEntryType.RegularFile, "implied/file") { DataStream = new MemoryStream([2]) },
            new PaxTarEntry(TarEntryType.Directory, "priv/new") { Mode = (UnixFileMode)0x1f8 }), destination, force: true);
        Assert.Equal(mine, File.GetUnixFileMode(destination));
        Assert.Equal(mine, File.GetUnixFileMode(Path.Combine(destination, "priv")));
        Assert.Equal(mine, File.GetUnixFileMode(Path.Combine(destination, "implied")));
        Assert.Equal((UnixFileMode)0x1f8, File.GetUnixFileMode(Path.Combine(destination, "priv/new")));

        // The root is left alone also where the archive does not name it.
        Extract(Pack(new PaxTarEntry(TarEntryType.RegularFile, "other") { DataStream = new MemoryStream([3]) }), destination, force: true);
        Assert.Equal(mine, File.GetUnixFileMode(destination));
    }

    [Theory]
    [InlineData(TarEntryFormat.Ustar)]
    [InlineData(TarEntryFormat.Gnu)]
    [InlineData(TarEntryFormat.Pax)]
    public async Task Archives_of_another_writer_are_read(TarEntryFormat format)
    {
        var longName = string.Join('/', Enumerable.Repeat("directory-of-some-length", format == TarEntryFormat.Ustar ? 5 : 40)) + "/fileä\n'";
        var archive = new MemoryStream();
        using (var writer = new TarWriter(archive, format, leaveOpen: true))
        {
            TarEntry entry = format switch
            {
                TarEntryFormat.Ustar => new UstarTarEntry(TarEntryType.RegularFile, longName),
                TarEntryFormat.Gnu => new GnuTarEntry(TarEntryType.RegularFile, longName),
                _ => new PaxTarEntry(TarEntryType.RegularFile, longName),
            };
            entry.Mode = (UnixFileMode)0x1a0;
            entry.ModificationTime = DateTimeOffset.FromUnixTimeSeconds(1_700_000_000);
            entry.DataStream = new MemoryStream(new byte[1000]);
            await writer.WriteEntryAsync(entry);
        }

        using var reader = new TarStreamReader(new ChunkedStream(archive.ToArray(), 1, 511, 513));
        var read = await reader.NextAsync(default);
        Assert.Equal((TarEntryKind.File, longName, 1000L, (UnixFileMode)0x1a0, DateTimeOffset.FromUnixTimeSeconds(1_700_000_000)),
            (read!.Kind, read.Name, read.Size, read.Mode, read.ModifiedAt));
        Assert.Null(await reader.NextAsync(default));
    }

    [Fact]
    public async Task Archives_are_read_by_another_reader()
    {
        var longName = string.Join('/', Enumerable.Repeat("directory-of-some-length", 40)) + "/fileä\n'";
        var target = new string('t', 300);
        var archive = new MemoryStream();
        var writer = new TarStreamWriter(archive);
        await writer.WriteDirectoryAsync("d", (UnixFileMode)0x1c0, DateTimeOffset.UnixEpoch, default);
        await writer.WriteFileAsync(longName, new MemoryStream(new byte[777]), 777, (UnixFileMode)0x1a0, DateTimeOffset.FromUnixTimeSeconds(5), null, default);
        await writer.WriteLinkAsync("link", target, DateTimeOffset.UnixEpoch, default);
        await writer.FinishAsync(default);

        archive.Position = 0;
        using var reader = new TarReader(archive);
        Assert.Equal((TarEntryType.Directory, "d/"), (reader.GetNextEntry()!.EntryType, "d/"));
        var file = reader.GetNextEntry()!;
        Assert.Equal((longName, 777L, (UnixFileMode)0x1a0), (file.Name, file.Length, file.Mode));
        Assert.Equal(target, reader.GetNextEntry()!.LinkName);
        Assert.Null(reader.GetNextEntry());
    }

    [Fact]
    public void Sizes_beyond_octal_digits_are_written_and_read()
    {
        var field = new byte[12];
        foreach (var size in new[] { 0L, 1, 8L * 1024 * 1024 * 1024 - 1, 8L * 1024 * 1024 * 1024, 1L << 50, long.MaxValue })
        {
            TarFormat.WriteNumber(field, size);
            Assert.Equal(size, TarFormat.ReadNumber(field));
        }

        Assert.Throws<InvalidDataException>(() => TarFormat.ReadNumber(Enumerable.Repeat((byte)0xff, 12).ToArray()));
    }

    [Fact]
    public void A_lying_length_of_an_extended_header_is_refused_before_anything_is_kept()
    {
        var archive = Pack(new PaxTarEntry(TarEntryType.RegularFile, "a") { DataStream = new MemoryStream([1]) });
        TarFormat.WriteNumber(archive.AsSpan(124, 12), 2_000_000_000);
        TarFormat.WriteNumber(archive.AsSpan(148, 7), TarFormat.Checksum(archive));
        var (home, _) = NewHome();
        Assert.Equal(SandboxErrorCode.UnsafeArchive, Assert.Throws<SandboxException>(() => Extract(archive, Path.Combine(home, "destination"))).Code);
    }

    [Fact]
    public void A_name_that_is_no_utf8_is_told_with_its_bytes()
    {
        var (text, exact) = TarFormat.ReadText([(byte)'a', 0xff, 0xe2, 0x82, (byte)'b', 0, (byte)'c']);
        Assert.Equal((@"a\xff\xe2\x82b", false), (text, exact));
    }

    [Fact]
    public void Damaged_archives_end_in_an_error_of_ours()
    {
        var archive = Pack(new PaxTarEntry(TarEntryType.Directory, "d"), new GnuTarEntry(TarEntryType.RegularFile, new string('n', 180)) { DataStream = new MemoryStream(new byte[2000]) },
            new UstarTarEntry(TarEntryType.SymbolicLink, "l") { LinkName = "d" });
        var cases = from at in Gen.Choose(0, archive.Length - 1)
                    from value in Gen.Choose(0, 255)
                    from length in Gen.Choose(0, archive.Length)
                    from repair in Gen.Elements(true, false)
                    select (at, value, length, repair);
        Prop.ForAll(cases.ToArbitrary(), given =>
        {
            var damaged = archive.AsSpan(0, given.length).ToArray();
            if (given.at < damaged.Length)
            {
                damaged[given.at] = (byte)given.value;
                var header = given.at / 512 * 512;
                if (given.repair && header + 512 <= damaged.Length)
                {
                    TarFormat.WriteNumber(damaged.AsSpan(header + 148, 7), TarFormat.Checksum(damaged.AsSpan(header, 512)));
                }
            }

            var (home, _) = NewHome();
            try
            {
                Extract(damaged, Path.Combine(home, "destination"));
            }
            catch (Exception fault) when (fault is SandboxException { Code: SandboxErrorCode.UnsafeArchive } or EndOfStreamException)
            {
                Assert.Empty(Directory.GetFileSystemEntries(home));
            }

            return true;
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(500));
    }

    private static Dictionary<string, string> Snapshot(string folder) => Directory.EnumerateFileSystemEntries(folder, "*", SearchOption.AllDirectories)
        .ToDictionary(path => path, path => File.Exists(path) ? File.ReadAllText(path) : "", StringComparer.Ordinal);

    private static byte[] Pack(params TarEntry[] entries)
    {
        var archive = new MemoryStream();
        using (var writer = new TarWriter(archive, TarEntryFormat.Pax, leaveOpen: true))
        {
            foreach (var entry in entries)
            {
                writer.WriteEntry(entry);
            }
        }

        return archive.ToArray();
    }

    private static byte[] Pack(IEnumerable<(TarEntryType Type, string Path, string Target)> entries) => Pack(entries.Select(entry =>
    {
        var made = new PaxTarEntry(entry.Type, entry.Path.Length == 0 ? "." : entry.Path);
        if (entry.Type is TarEntryType.SymbolicLink or TarEntryType.HardLink)
        {
            made.LinkName = entry.Target.Length == 0 ? "x" : entry.Target;
        }
        else if (entry.Type == TarEntryType.RegularFile)
        {
            made.DataStream = new MemoryStream(Encoding.UTF8.GetBytes("written"));
        }

        return (TarEntry)made;
    }).ToArray());

    private static List<string> Extract(byte[] archive, string destination, bool force = false)
    {
        var warnings = new List<string>();
        var options = new TransferOptions { Force = force, Warning = warnings.Add };
        using var tree = new StagedTree(destination, options);
        TarExtractor.ExtractAsync(new MemoryStream(archive), tree, options, new TransferMeter(options, "x", null), default).GetAwaiter().GetResult();
        tree.MoveIntoPlace();
        return warnings;
    }

    private static void AssertLinksStayInside(string destination)
    {
        foreach (var path in Directory.EnumerateFileSystemEntries(destination, "*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.None }))
        {
            if (new FileInfo(path) is { LinkTarget: not null } link && link.ResolveLinkTarget(returnFinalTarget: false) is not null)
            {
                using var realpath = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("realpath", ["-m", "--", path]) { UseShellExecute = false, RedirectStandardOutput = true })!;
                var real = realpath.StandardOutput.ReadToEnd().TrimEnd('\n');
                Assert.True(real == destination || real.StartsWith(destination + "/", StringComparison.Ordinal), $"{path} leads to {real}");
            }
        }
    }

    private void AssertRefused(params TarEntry[] entries)
    {
        var (home, outside) = NewHome();
        var before = Snapshot(outside);
        var refused = Assert.Throws<SandboxException>(() => Extract(Pack(entries), Path.Combine(home, "destination")));
        Assert.Equal(SandboxErrorCode.UnsafeArchive, refused.Code);
        Assert.Empty(Directory.GetFileSystemEntries(home));
        Assert.Equal(before, Snapshot(outside));
    }

    private (string Home, string Outside) NewHome()
    {
        var home = Path.Combine(_folder, "home", (_runs++).ToString(System.Globalization.CultureInfo.InvariantCulture));
        var outside = Path.Combine(_folder, "outside");
        Directory.CreateDirectory(home);
        Directory.CreateDirectory(outside);
        File.WriteAllText(Path.Combine(outside, "keep"), "kept");
        return (home, outside);
    }
}
