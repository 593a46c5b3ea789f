using System.CommandLine;
using DoSandbox.Cli.Commands;

namespace DoSandbox.Cli.CommandLine;

/// <summary>The words and options of <c>sandbox</c>.</summary>
internal static class SandboxCommandLine
{
    public static RootCommand Create() => new(
        """
        Makes isolated sandboxes, runs untrusted code in them and moves files in and out.

          sandbox create --image python --name demo
          sandbox exec demo python3 -c 'print(6 * 7)'
          sandbox upload demo ./report.py /app/
          sandbox download demo /app/out.csv ./results/
          sandbox delete demo

        Exit codes: that of the command for exec, else 0; 1 an error; 2 wrong usage; 124 a time-out; 130 ended by Ctrl+C.
        """)
    {
        CreateCommand.Build(),
        ListCommand.Build(),
        ExecCommand.Build(),
        UploadCommand.Build(),
        DownloadCommand.Build(),
        DeleteCommand.Build(),
        BackendsCommand.Build(),
    };
}
