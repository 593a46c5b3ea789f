using System.Diagnostics;
using DoSandbox.Errors;

namespace DoSandbox.HostProcesses;

/// <summary>
/// The description of one run of a program of this machine. It does not change: every <c>With</c> gives a new one, so that a description
/// can be kept and used many times, also at once. Secrets belong into the environment or standard input: arguments can be read by every
/// user of the machine. No text or exception made here holds arguments, environment or input.
/// </summary>
public sealed class HostCommand
{
    private HostCommand(string file)
    {
        File = file;
    }

    private HostCommand(HostCommand other)
    {
        File = other.File;
        Arguments = other.Arguments;
        Environment = other.Environment;
        InheritsEnvironment = other.InheritsEnvironment;
        StandardInput = other.StandardInput;
        WorkingDirectory = other.WorkingDirectory;
        Deadline = other.Deadline;
        GracePeriod = other.GracePeriod;
        MaxOutputBytes = other.MaxOutputBytes;
    }

    /// <summary>The program: an absolute path, or a name that is looked for on PATH and nowhere else.</summary>
    public string File { get; }

    /// <summary>The arguments, each passed on exactly.</summary>
    public IReadOnlyList<string> Arguments { get; private init; } = [];

    /// <summary>Environment variables to set, or with a null value to remove.</summary>
    public IReadOnlyDictionary<string, string?> Environment { get; private init; } = new Dictionary<string, string?>(StringComparer.Ordinal);

    /// <summary>False when the program sees only the variables of <see cref="Environment"/>.</summary>
    public bool InheritsEnvironment { get; private init; } = true;

    /// <summary>What the program reads; empty by default. It never reads this process's own input.</summary>
    public ReadOnlyMemory<byte> StandardInput { get; private init; }

    /// <summary>Its working directory; this process's own when null.</summary>
    public string? WorkingDirectory { get; private init; }

    /// <summary>After this long the program and its tree are ended. 30 seconds by default.</summary>
    public TimeSpan Deadline { get; private init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long the program may take to end by itself once it was asked to (SIGTERM), before its tree is killed. 2 seconds by default.</summary>
    public TimeSpan GracePeriod { get; private init; } = TimeSpan.FromSeconds(2);

    /// <summary>How many bytes of each stream are kept; the rest is read and dropped. 1 MiB by default.</summary>
    public int MaxOutputBytes { get; private init; } = 1024 * 1024;

    /// <summary>Describes a run of <paramref name="file"/> with no arguments.</summary>
    /// <exception cref="ArgumentException">It is empty, or a path that is not absolute.</exception>
    public static HostCommand For(string file)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(file);
        if (!Path.IsPathFullyQualified(file) && file.AsSpan().ContainsAny('/', '\\'))
        {
            throw new ArgumentException("A program is named by an absolute path or by a bare name.", nameof(file));
        }

        return new HostCommand(file);
    }

    /// <summary>The full path of a program on PATH, or null. Entries of PATH that are not absolute are not looked at.</summary>
    public static string? Find(string name)
    {
        if (Path.IsPathFullyQualified(name))
        {
            return IsExecutable(name) ? name : null;
        }

        string[] names = OperatingSystem.IsWindows() ? [name + ".exe", name + ".com", name] : [name];
        foreach (var folder in (System.Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator))
        {
            // A relative entry, or the empty one that means "here", would run a program that somebody put into a folder of data.
            if (!Path.IsPathFullyQualified(folder))
            {
                continue;
            }

            foreach (var candidate in names)
            {
                if (IsExecutable(Path.Combine(folder, candidate)))
                {
                    return Path.Combine(folder, candidate);
                }
            }
        }

        return null;
    }

    /// <summary>The same with these arguments.</summary>
    public HostCommand WithArguments(params string[] arguments) => new(this) { Arguments = [.. arguments] };

    /// <summary>The same with one more variable, or one less when the value is null.</summary>
    public HostCommand WithEnvironment(string name, string? value) =>
        new(this) { Environment = new Dictionary<string, string?>(Environment, StringComparer.Ordinal) { [name] = value } };

    /// <summary>The same with nothing of this process's own environment.</summary>
    public HostCommand WithoutInheritedEnvironment() => new(this) { InheritsEnvironment = false };

    /// <summary>The same with this standard input.</summary>
    public HostCommand WithStandardInput(ReadOnlyMemory<byte> input) => new(this) { StandardInput = input };

    /// <summary>The same in this directory.</summary>
    public HostCommand WithWorkingDirectory(string directory) => new(this) { WorkingDirectory = directory };

    /// <summary>The same with this deadline and grace period.</summary>
    public HostCommand WithDeadline(TimeSpan deadline, TimeSpan? gracePeriod = null) =>
        new(this) { Deadline = deadline, GracePeriod = gracePeriod ?? GracePeriod };

    /// <summary>The same keeping at most so many bytes of each stream.</summary>
    public HostCommand WithMaxOutput(int bytes) => new(this) { MaxOutputBytes = bytes };

    /// <summary>Runs the program to its end. Its exit code is data, whatever it is.</summary>
    /// <exception cref="SandboxException">ToolMissing: there is no such program. PermissionDenied: it could not be started. CommandTimedOut: the deadline passed.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; the program and its tree are gone.</exception>
    public async Task<HostCommandResult> RunAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var clock = Stopwatch.StartNew();
        using var process = Start();
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        ended.CancelAfter(Deadline);
        using var noMoreReading = new CancellationTokenSource();
        var input = FeedAsync(process.StandardInput.BaseStream, noMoreReading.Token);
        var stdout = ReadAsync(process.StandardOutput.BaseStream, noMoreReading.Token);
        var stderr = ReadAsync(process.StandardError.BaseStream, noMoreReading.Token);
        var inTime = true;
        try
        {
            await process.WaitForExitAsync(ended.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            inTime = false;
            await EndAsync(process).ConfigureAwait(false);
        }

        // A process that the program left behind may hold the pipes open for ever: https://github.com/dotnet/runtime/issues/27128
        noMoreReading.CancelAfter(TimeSpan.FromSeconds(1));
        await input.ConfigureAwait(false);
        var (outBytes, outCut) = await stdout.ConfigureAwait(false);
        var (errBytes, errCut) = await stderr.ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
        if (!inTime)
        {
            throw new SandboxException(SandboxErrorCode.CommandTimedOut,
                FormattableString.Invariant($"{Path.GetFileName(File)} did not end within {Deadline.TotalSeconds:0.#} s, so it was ended with all that it had started."),
                "See whether that program works when run by hand; a machine under heavy load may just need another try.");
        }

        return new HostCommandResult(process.ExitCode, outBytes, errBytes, outCut || errCut, clock.Elapsed);
    }

    /// <summary>The program's name only: arguments may be long, and are nobody else's business.</summary>
    public override string ToString() => File;

    private static bool IsExecutable(string path)
    {
        if (!System.IO.File.Exists(path))
        {
            return false;
        }

        return OperatingSystem.IsWindows()
            || (System.IO.File.GetUnixFileMode(path) & (UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute)) != UnixFileMode.None;
    }

    private Process Start()
    {
        // Process.Start would also look beside this program and in the current directory.
        var path = Find(File) ?? throw new SandboxException(SandboxErrorCode.ToolMissing, $"The program {File} was not found{(Path.IsPathFullyQualified(File) ? "" : " on PATH")}.");
        var start = new ProcessStartInfo(path)
        {
            UseShellExecute = false,
            CreateNoWindow = true,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = WorkingDirectory ?? "",
        };
        foreach (var argument in Arguments)
        {
            start.ArgumentList.Add(argument);
        }

        if (!InheritsEnvironment)
        {
            start.Environment.Clear();
        }

        foreach (var (name, value) in Environment)
        {
            if (value is null)
            {
                start.Environment.Remove(name);
            }
            else
            {
                start.Environment[name] = value;
            }
        }

        try
        {
            return Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new SandboxException(SandboxErrorCode.PermissionDenied, $"The program {path} could not be started: {e.Message}",
                WorkingDirectory is null ? "See that this user may run it." : $"See that this user may run it, and that the directory {WorkingDirectory} exists.", e);
        }
    }

    private async Task EndAsync(Process process)
    {
        if (!OperatingSystem.IsWindows() && GracePeriod > TimeSpan.Zero)
        {
            // Its children are looked for while it is still their parent: afterwards nothing would tell whose they are.
            var tree = HostProcessTree.DescendantsOf(process.Id);
            _ = HostProcessTree.Signal(process.Id, HostProcessTree.SigTerm);
            using var grace = new CancellationTokenSource(GracePeriod);
            try
            {
                await process.WaitForExitAsync(grace.Token).ConfigureAwait(false);
                tree.Kill();
                return;
            }
            catch (OperationCanceledException)
            {
                // It did not take the hint.
            }
        }

        try
        {
            process.Kill(entireProcessTree: true);
        }
        catch (Exception e) when (e is InvalidOperationException or System.ComponentModel.Win32Exception or AggregateException)
        {
            // It ended at this moment.
        }

        // A process in an uninterruptible wait cannot be killed; nobody should hang with it.
        using var bound = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        try
        {
            await process.WaitForExitAsync(bound.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task FeedAsync(Stream pipe, CancellationToken cancellationToken)
    {
        try
        {
            await using (pipe.ConfigureAwait(false))
            {
                await pipe.WriteAsync(StandardInput, cancellationToken).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // It did not want to read it all.
        }
    }

    private async Task<(byte[] Bytes, bool Cut)> ReadAsync(Stream pipe, CancellationToken cancellationToken)
    {
        using var kept = new MemoryStream();
        var buffer = new byte[16 * 1024];
        var cut = false;
        try
        {
            int count;
            while ((count = await pipe.ReadAsync(buffer, cancellationToken).ConfigureAwait(false)) > 0)
            {
                var room = (int)Math.Min(count, MaxOutputBytes - kept.Length);
                kept.Write(buffer, 0, room);
                cut |= room < count;
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // What came is what there is.
        }

        return (kept.ToArray(), cut);
    }
}
