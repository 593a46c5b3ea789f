using DoSandbox.Agent.Native;
using DoSandbox.Wire.Execd;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Server;

/// <summary>A shell whose directory, variables, functions, aliases and options last from one command to the next. One command at a time.</summary>
internal sealed class ShellSession(string id, string? directory, CommandRegistry registry)
{
    private readonly Lock _gate = new();
    private SafeFileHandle? _state;
    private Run? _running;
    private bool _closed;

    public string Id => id;

    /// <summary>Starts a command in the session. Its <see cref="Run.EndAsync"/> must be called.</summary>
    /// <exception cref="RequestException">404: closed meanwhile; 409: another command runs; and what <see cref="CommandRegistry.Start"/> throws.</exception>
    public Run Begin(CommandSpec spec)
    {
        lock (_gate)
        {
            if (_closed)
            {
                throw ShellSessions.NotFound(id);
            }

            if (_running is not null)
            {
                throw new RequestException(409, ExecdErrorCodes.RuntimeError, "session is busy");
            }

            var save = UnnamedFile.Create() ?? throw RequestException.Failed("The session cannot keep its state: /tmp takes no file.");
            try
            {
                var inFirst = _state is null && string.IsNullOrEmpty(spec.WorkingDirectory);
                var command = registry.Start(spec with
                {
                    WorkingDirectory = inFirst ? directory : spec.WorkingDirectory,
                    ExactDirectory = !inFirst && spec.ExactDirectory,
                    State = new ShellState(_state, save),
                });
                return _running = new Run(this, command, new ShellState(_state, save));
            }
            catch
            {
                save.Dispose();
                throw;
            }
        }
    }

    /// <summary>Ends the session and the command in it.</summary>
    public async Task CloseAsync()
    {
        Run? run;
        lock (_gate)
        {
            _closed = true;
            run = _running;
            if (run is null)
            {
                _state?.Dispose();
            }
        }

        if (run is not null)
        {
            await run.Command.InterruptAsync().ConfigureAwait(false);
        }
    }

    private void Adopt(RunningCommand command, ShellState state)
    {
        lock (_gate)
        {
            _running = null;

            // A bash that a signal ends may have written its state half way through the command.
            if (command.Status is { Signal: null } && state.IsSaved())
            {
                state.Restore?.Dispose();
                _state = state.Save;
            }
            else
            {
                state.Save.Dispose();
            }

            if (_closed)
            {
                _state?.Dispose();
            }
        }
    }

    /// <summary>One command in the session.</summary>
    public sealed class Run(ShellSession session, RunningCommand command, ShellState state)
    {
        public RunningCommand Command => command;

        /// <summary>Waits for the command's end and keeps what it changed; the session is free again then.</summary>
        /// <param name="delivered">False when its client went away, which ends the command too.</param>
        public async Task EndAsync(bool delivered)
        {
            try
            {
                if (!delivered)
                {
                    await command.InterruptAsync().ConfigureAwait(false);
                }

                await command.Over.ConfigureAwait(false);
            }
            finally
            {
                session.Adopt(command, state);
            }
        }
    }
}
