using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DoSandbox.Agent.Server;

/// <summary>
/// What a shell session keeps between two commands, as a script in a file without a name. Each command has a bash of its
/// own that reads the last state first and writes the new one at its end. So a command that is killed, or ends its shell
/// by exec, leaves the session as it was, and no output can be taken for that of another command.
/// </summary>
/// <param name="Restore">The state before the command; null for the first.</param>
/// <param name="Save">Where the state after it goes.</param>
internal sealed record ShellState(SafeFileHandle? Restore, SafeFileHandle Save)
{
    /// <summary>Descriptors that scripts do not use for themselves.</summary>
    public const int RestoreDescriptor = 62;
    public const int SaveDescriptor = 63;

    /// <summary>The end of a state that was written whole.</summary>
    public static ReadOnlySpan<byte> EndMark => "#end\n"u8;

    // Holds no single quote, as it stands between two. Written with care for what a user may have set before: options
    // (errexit, xtrace, nounset), IFS, aliases and functions with the names of builtins.
    private const string SaveScript =
        "{ __dosandbox_status=$? __dosandbox_options=:$SHELLOPTS; \\builtin set +eux; "
        + "if [[ ! ${__dosandbox_saved-} ]]; then __dosandbox_saved=1; { "
        + "\\builtin printf \"[[ \\$__dosandbox_here ]] || builtin cd -- %q || __dosandbox_lost=1\\n\" \"$PWD\"; "
        + "while IFS= \\builtin read -r __dosandbox_name; do case $__dosandbox_name in "
        + "BASH_ENV) ;; "
        + "BASH|BASHOPTS|BASHPID|BASH_*|COMP_*|DIRSTACK|DOSANDBOX_COMMAND|EPOCHREALTIME|EPOCHSECONDS|EUID|FUNCNAME|GROUPS|HISTCMD|LINENO|"
        + "PIPESTATUS|PPID|PWD|RANDOM|SECONDS|SHELLOPTS|SHLVL|SRANDOM|UID|_|__dosandbox_*) \\builtin continue ;; esac; "
        + "\\builtin declare -p \"$__dosandbox_name\"; done < <(\\builtin compgen -v); "
        + "\\builtin shopt -p; \\builtin declare -f; \\builtin declare -Fx; \\builtin alias -p; \\builtin umask -p; "
        + "[[ $__dosandbox_options == *:xtrace* ]] && \\builtin printf \"%s\\n\" \"__dosandbox_prefix=\\\"set -x;\\\"\"; "
        + "__dosandbox_options=${__dosandbox_options//:xtrace/}; __dosandbox_options=${__dosandbox_options//:verbose/}; "
        + "\\builtin printf \"%s\\n\" \"set +B +h +o interactive-comments${__dosandbox_options//:/ -o }\" \"#end\"; "
        + "} >&63; fi; } 2>/dev/null";

    // One line, so that the lines of the command count from 1 in the shell's messages.
    private const string Script =
        "__dosandbox_command=$1 __dosandbox_here=$2 __dosandbox_lost= __dosandbox_prefix= ; set -- $3; shopt -s expand_aliases; "
        + "if [[ ${1-} ]]; then set --; . /dev/fd/62 2>/dev/null; fi; exec 62<&-; "
        + "if [[ $__dosandbox_lost ]]; then printf \"%s\\n\" \"The directory this session was in is gone; name another one for the next command (cwd).\" >&2; exit 1; fi; "
        + "trap '" + SaveScript + "' EXIT; "
        + "builtin eval \"$__dosandbox_prefix$__dosandbox_command\"; "
        + SaveScript + "; exit \"$__dosandbox_status\"";

    /// <summary>The arguments of the bash that runs a command in this state.</summary>
    /// <param name="command">The command.</param>
    /// <param name="stayHere">True leaves the shell in the directory it is started in.</param>
    public string[] Arguments(string command, bool stayHere) =>
        ["bash", "-c", Script, "bash", command, stayHere ? "1" : "", Restore is null ? "" : "1"];

    /// <summary>The descriptors of that bash, each at its beginning.</summary>
    public IReadOnlyList<(SafeHandle Source, int Target)> Descriptors() =>
        Restore is null ? [(Save, SaveDescriptor)] : [(Restore, RestoreDescriptor), (Save, SaveDescriptor)];

    /// <summary>True when the new state was written whole.</summary>
    public bool IsSaved()
    {
        var length = RandomAccess.GetLength(Save);
        Span<byte> end = stackalloc byte[EndMark.Length];
        return length >= end.Length && RandomAccess.Read(Save, end, length - end.Length) == end.Length && end.SequenceEqual(EndMark);
    }
}
