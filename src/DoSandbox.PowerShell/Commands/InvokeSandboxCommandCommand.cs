using System.Collections;
using System.Management.Automation;
using DoSandbox.Commands;
using DoSandbox.Errors;
using DoSandbox.PowerShell.Pipeline;

namespace DoSandbox.PowerShell.Commands;

/// <summary>
/// Runs a command in sandboxes. There is one parameter set, and what is what is decided when it begins: a single positional argument is the
/// command, and then the pipeline holds the sandboxes; with a sandbox and a command the pipeline is standard input.
/// </summary>
[Cmdlet(VerbsLifecycle.Invoke, "SandboxCommand", SupportsShouldProcess = true)]
[OutputType(typeof(CommandResult), typeof(CommandOutput))]
public sealed class InvokeSandboxCommandCommand : AsyncSandboxCmdlet
{
    private const int NoExitCode = 1;
    private const int TimedOut = 124;
    private const string Example = "Write: Invoke-SandboxCommand <sandbox> '<command>', or: <sandbox> | Invoke-SandboxCommand '<command>'.";

    private CommandRequest? _request;
    private SandboxReference[]? _sandboxes;
    private PipelineInput? _input;
    private MemoryStream? _sharedInput;

    [Parameter(Position = 0)]
    [SandboxTransformation]
    [ArgumentCompleter(typeof(SandboxNameCompleter))]
    public SandboxReference[]? Sandbox { get; set; }

    [Parameter(Position = 1)]
    public string? Command { get; set; }

    /// <summary>Sandboxes where no sandbox is named, else standard input.</summary>
    [Parameter(ValueFromPipeline = true)]
    public PSObject? InputObject { get; set; }

    [Parameter]
    public SwitchParameter Stream { get; set; }

    [Parameter]
    public IDictionary? Environment { get; set; }

    [Parameter]
    [ValidateNotNullOrEmpty]
    public string? WorkingDirectory { get; set; }

    /// <summary>Seconds.</summary>
    [Parameter]
    [ValidateRange(0.001, 2_073_600.0)]
    public double TimeoutSec { get; set; }

    [Parameter]
    public SwitchParameter ErrorOnNonZeroExit { get; set; }

    /// <inheritdoc/>
    protected override void BeginProcessing()
    {
        // First, so that no failure leaves the 0 of an earlier command behind.
        if (!IsWhatIf)
        {
            SetLastExitCode(NoExitCode);
        }

        try
        {
            var command = Command;
            var bound = MyInvocation.BoundParameters;
            if (!bound.ContainsKey(nameof(Command)) && Sandbox is [{ IsObject: false } only])
            {
                command = only.ToString();
            }
            else
            {
                _sandboxes = Sandbox;
            }

            if (command is null)
            {
                throw new SandboxException(SandboxErrorCode.InvalidArgument, "There is no command to run.", Example);
            }

            if (_sandboxes is null && !MyInvocation.ExpectingInput && !bound.ContainsKey(nameof(InputObject)))
            {
                throw new SandboxException(SandboxErrorCode.InvalidArgument, "There is no sandbox to run the command in.", Example);
            }

            _request = new CommandRequest(command)
            {
                WorkingDirectory = WorkingDirectory,
                Environment = Dictionaries.ToStrings(Environment, nameof(Environment)),
                Timeout = bound.ContainsKey(nameof(TimeoutSec)) ? TimeSpan.FromSeconds(TimeoutSec) : null,
            };
            _request.Validate();
        }
        catch (SandboxException exception)
        {
            ThrowTerminatingError(ErrorRecords.From(exception));
        }

        if (_sandboxes is not null)
        {
            _sandboxes = Array.FindAll(_sandboxes, Approve);
        }
    }

    /// <inheritdoc/>
    protected override void ProcessRecord()
    {
        if (!MyInvocation.ExpectingInput && !MyInvocation.BoundParameters.ContainsKey(nameof(InputObject)))
        {
            return;
        }

        var sandbox = InputObject is { } item ? SandboxTransformationAttribute.FromSandboxObject(item) : null;
        if (_sandboxes is null)
        {
            RunFromPipeline(sandbox);
            return;
        }

        if (sandbox is not null)
        {
            ThrowTerminatingError(ErrorRecords.InvalidArgument("Sandboxes come from the pipeline, and -Sandbox names others.",
                "Give the sandboxes one way: from the pipeline or with -Sandbox.", sandbox.Target));
        }

        if (_sandboxes.Length > 0)
        {
            AddInput();
        }
    }

    /// <inheritdoc/>
    protected override void EndProcessing()
    {
        if (_input is not null)
        {
            _input.Complete();
            Finish();
            return;
        }

        if (_sandboxes is { Length: > 0 })
        {
            Run(async () =>
            {
                foreach (var sandbox in _sandboxes)
                {
                    await RunInAsync(sandbox, _sharedInput is { } all ? new MemoryStream(all.GetBuffer(), 0, (int)all.Length, writable: false) : null).ConfigureAwait(false);
                }
            });
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (disposing)
        {
            _input?.Dispose();
            _sharedInput?.Dispose();
        }
    }

    private bool Approve(SandboxReference sandbox) => ShouldProcess(Display.OneLine(sandbox.Name), $"Run '{Display.OneLine(_request!.Command)}'");

    private void RunFromPipeline(SandboxReference? sandbox)
    {
        if (sandbox is null)
        {
            ThrowTerminatingError(ErrorRecords.InvalidArgument(
                $"A {InputObject?.BaseObject.GetType().Name ?? "null"} came from the pipeline where a sandbox was expected, because only a command was given.",
                "For standard input name the sandbox too: 'text' | Invoke-SandboxCommand <sandbox> '<command>'. For a sandbox by its name use Get-Sandbox <name> | Invoke-SandboxCommand '<command>'."));
            return;
        }

        if (Approve(sandbox))
        {
            Run(() => RunInAsync(sandbox, stdin: null));
        }
    }

    private void AddInput()
    {
        ReadOnlyMemory<byte> piece;
        try
        {
            piece = StandardInput.ToBytes(InputObject);
        }
        catch (SandboxException exception)
        {
            ThrowTerminatingError(ErrorRecords.From(exception));
            return;
        }

        if (_sandboxes!.Length > 1)
        {
            // Each of them reads all of it, so it is kept.
            _sharedInput ??= new MemoryStream();
            _sharedInput.Write(piece.Span);
            return;
        }

        if (_input is null)
        {
            var input = new PipelineInput();
            _input = input;
            Start(async () =>
            {
                try
                {
                    var stdin = await input.OpenAsync(StopToken).ConfigureAwait(false);
                    await RunInAsync(_sandboxes[0], stdin).ConfigureAwait(false);
                }
                finally
                {
                    input.CloseReading();
                }
            });
        }

        PumpUntil(_input.AddAsync(piece, StopToken));
    }

    private Task RunInAsync(SandboxReference reference, Stream? stdin) => ForOneAsync(reference.Target, async () =>
    {
        await InvokeAsync(() => SetLastExitCode(NoExitCode)).ConfigureAwait(false);
        var sandbox = await reference.ResolveAsync(Directory, StopToken).ConfigureAwait(false);
        CommandResult end;
        try
        {
            var connection = await Directory.ConnectAsync(sandbox, StopToken).ConfigureAwait(false);
            var request = _request! with { Stdin = stdin };
            end = Stream
                ? await StreamAsync(connection, request).ConfigureAwait(false)
                : await connection.RunToEndAsync(request, StopToken).ConfigureAwait(false);
        }
        catch (SandboxException exception)
        {
            if (exception.Code == SandboxErrorCode.CommandTimedOut)
            {
                await InvokeAsync(() => SetLastExitCode(TimedOut)).ConfigureAwait(false);
            }

            await WriteErrorAsync(ErrorRecords.From(exception, sandbox.Id)).ConfigureAwait(false);
            return;
        }

        await InvokeAsync(() => SetLastExitCode(end.ExitCode ?? NoExitCode)).ConfigureAwait(false);
        if (!Stream)
        {
            await WriteAsync(end).ConfigureAwait(false);
        }

        if (ErrorOnNonZeroExit && !end.Success)
        {
            var reason = Display.OneLine(end.Stderr.TrimEnd().Split('\n')[^1]);
            throw new CommandException(SandboxErrorCode.CommandFailed,
                $"The command ended with exit code {end.ExitCode}{(reason.Length > 0 ? $": {reason}" : ".")}", end) { SandboxId = sandbox.Id };
        }
    });

    private async Task<CommandResult> StreamAsync(Connections.ISandboxConnection connection, CommandRequest request)
    {
        await foreach (var next in connection.StreamLinesAsync(request, StopToken).ConfigureAwait(false))
        {
            if (next is CommandExited exited)
            {
                return new CommandResult([], [], exited.ExitCode, exited.Signal, exited.Duration);
            }

            await WriteAsync(next).ConfigureAwait(false);
        }

        throw new SandboxException(SandboxErrorCode.OutcomeUnknown, "The command's output ended without saying how the command ended.");
    }

    private void SetLastExitCode(int exitCode) => SessionState.PSVariable.Set("global:LASTEXITCODE", exitCode);
}
