using System.Text;
using DoSandbox.Agent.Native;

namespace DoSandbox.Agent.Server;

/// <summary>What nobody can be answered: one line on standard error, which the sandbox's log takes. Without Console, which would install signal handlers of its own.</summary>
internal static unsafe class AgentLog
{
    /// <summary>Writes one line. Never throws.</summary>
    public static void Write(string message)
    {
        var text = Encoding.UTF8.GetBytes($"dosandbox-agent: {message}\n");
        fixed (byte* start = text)
        {
            _ = Libc.Write(2, start, (nuint)text.Length);
        }
    }
}
