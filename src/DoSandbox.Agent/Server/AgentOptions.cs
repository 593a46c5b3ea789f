using System.Globalization;

namespace DoSandbox.Agent.Server;

/// <summary>The command line of <c>dosandbox-agent serve</c>.</summary>
internal sealed record AgentOptions
{
    /// <summary>An inherited, listening unix socket.</summary>
    public int? ListenFd { get; private init; }

    /// <summary>Path of a socket that the agent makes itself, mode 0600.</summary>
    public string? SocketPath { get; private init; }

    /// <summary>Gets one byte once the agent serves, then is closed.</summary>
    public int? ReadyFd { get; private init; }

    /// <summary>Most processes and threads of the commands together.</summary>
    public int? MaxProcesses { get; private init; }

    /// <summary>Name of the environment variable that holds the access token; the variable is not passed on to commands.</summary>
    public string? AccessTokenVariable { get; private init; }

    /// <summary>Reads the arguments after <c>serve</c>.</summary>
    /// <exception cref="ArgumentException">They make no sense; the message says why.</exception>
    public static AgentOptions Parse(string[] arguments)
    {
        var result = new AgentOptions();
        for (var i = 0; i < arguments.Length; i += 2)
        {
            if (i + 1 == arguments.Length)
            {
                throw new ArgumentException($"{arguments[i]} needs a value.");
            }

            var value = arguments[i + 1];
            result = arguments[i] switch
            {
                "--fd" => result with { ListenFd = Number(arguments[i], value, 0) },
                "--ready-fd" => result with { ReadyFd = Number(arguments[i], value, 0) },
                "--socket" => result with { SocketPath = value },
                "--max-processes" => result with { MaxProcesses = Number(arguments[i], value, 1) },
                "--access-token-env" => result with { AccessTokenVariable = value },
                _ => throw new ArgumentException($"Unknown option {arguments[i]}."),
            };
        }

        return result.ListenFd is null == result.SocketPath is null
            ? throw new ArgumentException("Give either --fd or --socket.")
            : result;
    }

    private static int Number(string name, string value, int least) =>
        int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least
            ? number
            : throw new ArgumentException($"{name} needs a number of at least {least.ToString(CultureInfo.InvariantCulture)}.");
}
