using System.Globalization;

namespace DoSandbox.Agent.Server;

/// <summary>Signals by the words of execd's event stream and by their names.</summary>
internal static class SignalNames
{
    private static readonly (int Number, string Name, string Words)[] Known =
    [
        (1, "SIGHUP", "hangup"), (2, "SIGINT", "interrupt"), (3, "SIGQUIT", "quit"), (4, "SIGILL", "illegal instruction"),
        (5, "SIGTRAP", "trace/breakpoint trap"), (6, "SIGABRT", "aborted"), (7, "SIGBUS", "bus error"),
        (8, "SIGFPE", "floating point exception"), (9, "SIGKILL", "killed"), (10, "SIGUSR1", "user defined signal 1"),
        (11, "SIGSEGV", "segmentation fault"), (12, "SIGUSR2", "user defined signal 2"), (13, "SIGPIPE", "broken pipe"),
        (14, "SIGALRM", "alarm clock"), (15, "SIGTERM", "terminated"), (18, "SIGCONT", "continued"), (19, "SIGSTOP", "stopped (signal)"),
        (20, "SIGTSTP", "stopped"), (28, "SIGWINCH", "window changed"), (31, "SIGSYS", "bad system call"),
    ];

    public static string Describe(int signal) =>
        Array.Find(Known, entry => entry.Number == signal).Words ?? string.Create(CultureInfo.InvariantCulture, $"signal {signal}");

    /// <summary>The number of a signal named as SIGTERM, TERM or 15; null when there is no such.</summary>
    public static int? Parse(string? text)
    {
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
        {
            return number is >= 1 and <= 64 ? number : null;
        }

        var found = Array.Find(Known, entry => entry.Name == text || entry.Name.AsSpan(3).SequenceEqual(text));
        return found.Number == 0 ? null : found.Number;
    }
}
