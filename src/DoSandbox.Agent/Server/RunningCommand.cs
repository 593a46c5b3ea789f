using System.Diagnostics;
using DoSandbox.Agent.Native;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Server;

/// <summary>One command from its start until it is forgotten: its process tree, its output, its end.</summary>
internal sealed class RunningCommand
{
    private static readonly TimeSpan InterruptGrace = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan TreePoll = TimeSpan.FromMilliseconds(20);

    private readonly Lock _gate = new();
    private readonly AsyncSignal _signal = new();
    private readonly TaskCompletionSource _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _over = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Action<RunningCommand> _onOver;
    private readonly long _startTicks = Stopwatch.GetTimestamp();
    private readonly ulong? _mark;
    private readonly int _logCapacity;
    private OutputPump? _pump;
    private BoundedLog? _log;
    private Timer? _timeLimit;
    private ExitStatus? _status;
    private int _kills;
    private bool _isOver;
    private bool _forgotten;

    public RunningCommand(string id, CommandSpec spec, ulong? mark, Action<RunningCommand> onOver)
    {
        Id = id;
        Content = spec.Command ?? "";
        _mark = mark;
        _logCapacity = spec.LogCapacity;
        _onOver = onOver;
    }

    /// <summary>32 hexadecimal digits.</summary>
    public string Id { get; }

    /// <summary>The shell command.</summary>
    public string Content { get; }

    public int Pid { get; private set; }

    public DateTimeOffset StartedAt { get; } = DateTimeOffset.UtcNow;

    public DateTimeOffset? FinishedAt { get; private set; }

    /// <summary>From the start to the end, or to now.</summary>
    public TimeSpan Duration => FinishedAt is { } end ? end - StartedAt : Stopwatch.GetElapsedTime(_startTicks);

    /// <summary>True once its time-out has ended it.</summary>
    public bool TimedOut { get; private set; }

    /// <summary>How its first process ended; null while it runs.</summary>
    public ExitStatus? Status
    {
        get
        {
            lock (_gate)
            {
                return _status;
            }
        }
    }

    /// <summary>True once its first process has ended and no kill of its tree is under way any more.</summary>
    public bool IsOver => Volatile.Read(ref _isOver);

    /// <summary>Done when <see cref="IsOver"/>.</summary>
    public Task Over => _over.Task;

    /// <summary>The writing end of its standard input, when it was asked for.</summary>
    public SafeFileHandle? Input { get; private set; }

    /// <summary>Its terminal, when it has one.</summary>
    public PseudoTerminal? Terminal { get; private set; }

    /// <summary>The output that no client took; null when a client took all.</summary>
    public BoundedLog? Log
    {
        get
        {
            lock (_gate)
            {
                return _log;
            }
        }
    }

    private ProcessTree Tree => new(() => Status is null ? Pid : null, $"{CommandRegistry.Cookie}={Id}", _mark);

    /// <summary>Starts it. Called once, by the registry.</summary>
    /// <exception cref="LinuxException">It could not be started.</exception>
    public void Start(CommandSpec spec, SpawnRequest request)
    {
        if (spec.Terminal is { } size)
        {
            StartInTerminal(size, request);
        }
        else
        {
            StartWithPipes(spec, request);
        }

        if (spec.TimeLimit is { } limit)
        {
            lock (_gate)
            {
                if (_status is null)
                {
                    _timeLimit = new Timer(static command => ((RunningCommand)command!).OnTimeLimit(), this, limit, Timeout.InfiniteTimeSpan);
                }
            }
        }
    }

    private void StartInTerminal(TerminalSize size, SpawnRequest request)
    {
        Terminal = PseudoTerminal.Open(size);
        try
        {
            _pump = new OutputPump(_signal, Terminal.Master, null, isTerminal: true);
            Input = Terminal.Input;
            Pid = Reaper.Instance.Start(request with { TerminalPath = Terminal.Path }, OnExited);
        }
        catch
        {
            _pump?.Dispose();
            Terminal.Dispose();
            throw;
        }
    }

    private void StartWithPipes(CommandSpec spec, SpawnRequest request)
    {
        var owned = new List<SafeFileHandle>(6);
        try
        {
            var output = MakePipe(owned);
            var error = spec.MergeStreams ? output : MakePipe(owned);
            var input = spec.OpenInput || !spec.Input.IsEmpty ? MakePipe(owned) : default;
            var unfed = input.Write is null ? default : Feed(input.Write, spec.Input);
            _pump = new OutputPump(_signal, output.Read!, spec.MergeStreams ? null : error.Read);
            Pid = Reaper.Instance.Start(
                request with { Input = input.Read, Output = output.Write, Error = error.Write }, OnExited);
            output.Write!.Dispose();
            error.Write!.Dispose();
            input.Read?.Dispose();
            if (spec.OpenInput)
            {
                Input = input.Write;
            }
            else if (!unfed.IsEmpty)
            {
                _ = FeedRestAsync(input.Write!, unfed);
            }
            else
            {
                input.Write?.Dispose();
            }
        }
        catch
        {
            _pump?.Dispose();
            owned.ForEach(handle => handle.Dispose());
            throw;
        }
    }

    /// <summary>
    /// Hands the output to a client until the command is over. When the client goes away first, the command goes on and
    /// its output goes to <see cref="Log"/>.
    /// </summary>
    /// <param name="sink">The client.</param>
    /// <param name="gone">Cancelled when the client goes away.</param>
    /// <returns>True when everything was delivered.</returns>
    public async Task<bool> PumpToClientAsync(OutputSink sink, CancellationToken gone)
    {
        var pump = _pump!;
        await using var registration = gone.UnsafeRegister(static signal => ((AsyncSignal)signal!).Set(), _signal);
        PumpEnd end;
        try
        {
            end = await pump.RunAsync(sink, () => IsOver, () => gone.IsCancellationRequested).ConfigureAwait(false);
        }
        catch (Exception)
        {
            // However a client fails to take it: the command must not stand still for want of a reader.
            end = PumpEnd.ReceiverGone;
        }

        if (end == PumpEnd.Over && pump.AtEnd)
        {
            pump.Dispose();
        }
        else
        {
            // Either the command goes on without its client, or a descendant still has the pipes: were they closed,
            // its next line would end it by SIGPIPE.
            if (end == PumpEnd.ReceiverGone)
            {
                OpenLog();
            }

            KeepInLog();
        }

        return end == PumpEnd.Over;
    }

    /// <summary>Hands the output to a sink that never goes away until the command is over; what descendants still write goes to <see cref="Log"/>.</summary>
    public async Task PumpToSinkAsync(OutputSink sink)
    {
        _ = await _pump!.RunAsync(sink, () => IsOver, () => false).ConfigureAwait(false);
        if (_pump.AtEnd)
        {
            _pump.Dispose();
        }
        else
        {
            KeepInLog();
        }
    }

    /// <summary>Lets the output go to <see cref="Log"/> from now on.</summary>
    public void KeepInLog() => _ = Task.Run(PumpToLogAsync);

    /// <summary>Makes the log, so that it is readable even before the first output.</summary>
    public BoundedLog OpenLog()
    {
        lock (_gate)
        {
            return _log ??= new BoundedLog(_logCapacity);
        }
    }

    /// <summary>Sends a signal to its session's process group, as a terminal would.</summary>
    /// <returns>False when its first process is gone.</returns>
    public bool Signal(int signal) => Reaper.Instance.Signal(-Pid, signal);

    /// <summary>Sends a signal to what has the keyboard: in a terminal the process group in front, else as <see cref="Signal"/>.</summary>
    public void SignalForeground(int signal)
    {
        if (Terminal?.ForegroundGroup is not { } group || Libc.Kill(-group, signal) != 0)
        {
            Signal(signal);
        }
    }

    /// <summary>
    /// Ends the whole tree: SIGTERM, up to 3 seconds, SIGKILL. Returns once nothing is left of it.
    /// </summary>
    /// <returns>False when it was not running any more.</returns>
    public async Task<bool> InterruptAsync()
    {
        if (!BeginKill())
        {
            return false;
        }

        try
        {
            await Task.Run(TerminateAsync).ConfigureAwait(false);
        }
        finally
        {
            EndKill();
        }

        await _exited.Task.ConfigureAwait(false);
        return true;
    }

    /// <summary>Kills whatever is left of the tree, also after the command's own end.</summary>
    public Task KillTreeAsync() => Task.Run(KillTree);

    /// <summary>Gives up its log; what descendants that outlived it still write goes nowhere.</summary>
    public void Forget()
    {
        Volatile.Write(ref _forgotten, true);
        _signal.Set();
        Log?.Dispose();
        Input?.Dispose();
    }

    private static (SafeFileHandle? Read, SafeFileHandle? Write) MakePipe(List<SafeFileHandle> owned)
    {
        var (read, write) = Descriptors.Pipe();
        owned.Add(read);
        owned.Add(write);
        return (read, write);
    }

    /// <summary>Puts into the pipe what it holds, before there is a reader; returns the rest.</summary>
    private static ReadOnlyMemory<byte> Feed(SafeFileHandle pipe, ReadOnlyMemory<byte> input)
    {
        const int DefaultPipe = 64 * 1024;
        Descriptors.SetNonBlocking(pipe);
        if (input.Length > DefaultPipe)
        {
            Descriptors.EnlargePipe(pipe);
        }

        while (!input.IsEmpty)
        {
            var count = Descriptors.Write(pipe, input.Span);
            if (count < 0)
            {
                break;
            }

            input = input[count..];
        }

        return input;
    }

    /// <summary>Feeds until the command is over: a descendant that holds the input and never reads must not hold it here.</summary>
    private async Task FeedRestAsync(SafeFileHandle pipe, ReadOnlyMemory<byte> input)
    {
        using (pipe)
        {
            using var over = new CancellationTokenSource();
            using var writer = new PipeWriterEnd(pipe);
            try
            {
                var feeding = writer.WriteAsync(input, over.Token);
                await Task.WhenAny(feeding, Over).ConfigureAwait(false);
                await over.CancelAsync().ConfigureAwait(false);
                await feeding.ConfigureAwait(false);
            }
            catch (Exception e) when (e is LinuxException or OperationCanceledException)
            {
                // The command closed its input before it had read all of it, as `head` does, or is over.
            }
        }
    }

    private async Task PumpToLogAsync()
    {
        var pump = _pump!;
        try
        {
            var sink = new LogSink(OpenLog);
            await pump.RunAsync(sink, () => IsOver, () => Volatile.Read(ref _forgotten)).ConfigureAwait(false);
            await pump.RunAsync(sink, () => pump.AtEnd, () => Volatile.Read(ref _forgotten)).ConfigureAwait(false);

            if (Volatile.Read(ref _forgotten))
            {
                // Something still writes: were its pipes closed, its next line would end it by SIGPIPE.
                Log?.Dispose();
                await pump.RunAsync(new NullSink(), () => pump.AtEnd, () => false).ConfigureAwait(false);
            }
        }
        finally
        {
            pump.Dispose();
        }
    }

    private void OnExited(ExitStatus status)
    {
        bool over;
        lock (_gate)
        {
            _status = status;
            _timeLimit?.Dispose();
            over = CheckOver();
        }

        _exited.SetResult();
        if (over)
        {
            TellOver();
        }
    }

    private void OnTimeLimit()
    {
        if (!BeginKill())
        {
            return;
        }

        TimedOut = true;
        try
        {
            KillTree();
        }
        finally
        {
            EndKill();
        }
    }

    private bool BeginKill()
    {
        lock (_gate)
        {
            if (_status is not null)
            {
                return false;
            }

            _kills++;
            return true;
        }
    }

    private void EndKill()
    {
        bool over;
        lock (_gate)
        {
            _kills--;
            over = CheckOver();
        }

        if (over)
        {
            TellOver();
        }
    }

    private bool CheckOver()
    {
        if (_status is null || _kills > 0 || _isOver)
        {
            return false;
        }

        FinishedAt = StartedAt + Stopwatch.GetElapsedTime(_startTicks);
        Volatile.Write(ref _isOver, true);
        return true;
    }

    private void TellOver()
    {
        Input?.Dispose();
        Terminal?.LetGo();
        _over.SetResult();
        _signal.Set();
        _onOver(this);
    }

    private async Task TerminateAsync()
    {
        try
        {
            var tree = Tree;
            if (Terminal is not null)
            {
                // What shells in a terminal heed: they ignore SIGTERM.
                tree.Signal(Libc.SIGHUP);
            }

            tree.Signal(Libc.SIGTERM);

            // A stopped process takes the signal only once it goes on.
            tree.Signal(Libc.SIGCONT);
            var deadline = Stopwatch.GetTimestamp() + (long)(InterruptGrace.TotalSeconds * Stopwatch.Frequency);
            while (Stopwatch.GetTimestamp() < deadline && tree.Find().Count > 0)
            {
                await Task.Delay(TreePoll).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // No grace then: what follows has a way without /proc.
        }

        KillTree();
    }

    /// <summary>Never throws: on a timer's thread that would end the agent.</summary>
    private void KillTree()
    {
        try
        {
            if (!Tree.Kill())
            {
                AgentLog.Write($"Processes of the command {Id} could not be killed in time.");
            }
        }
        catch (Exception e)
        {
            // As where /proc cannot be read, with no descriptor left: the process group at least needs none.
            AgentLog.Write($"The processes of the command {Id} could not be searched: {e.Message}");
            Signal(Libc.SIGKILL);
        }
    }
}
