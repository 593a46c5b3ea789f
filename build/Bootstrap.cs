namespace DoSandbox.Build;

/// <summary>What building and running need on this machine beside the .NET SDK.</summary>
internal static class Bootstrap
{
    private const string PesterVersion = "5.5.0";

    /// <summary>Each Debian package, and what tells that it (or another distribution's equal) is there.</summary>
    private static readonly (string Package, Func<bool> Present)[] Packages =
    [
        ("bubblewrap", () => Shell.Find("bwrap") is not null),
        ("gcc", () => Shell.Find("gcc") is not null),
        ("libc6-dev", () => File.Exists("/usr/include/stdlib.h")),
        ("zlib1g-dev", () => File.Exists("/usr/include/zlib.h")),
        ("e2fsprogs", () => Shell.Find("mkfs.ext4") is not null),
        // A Python of the machine itself: a sandbox sees /usr and nothing of a user's home.
        ("python3", () => File.Exists("/usr/bin/python3")),
    ];

    /// <summary>Installs what is missing, or says how and stops.</summary>
    public static int Run()
    {
        Ensure();
        EnsurePester();
        Console.WriteLine("bootstrap: all is there");
        return 0;
    }

    /// <exception cref="BuildException">Something is missing and must be installed by hand.</exception>
    public static void Ensure()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        var missing = Missing();
        if (missing.Length == 0)
        {
            return;
        }

        var apt = Shell.Find("apt-get");
        if (apt is null)
        {
            throw new BuildException($"These are missing: {string.Join(" ", missing)} (names of Debian packages). Install their equals with this system's package manager, then run the task again.");
        }

        var root = string.Equals(Environment.UserName, "root", StringComparison.Ordinal);
        var command = $"apt-get update && {(root ? "" : "sudo ")}apt-get install -y --no-install-recommends {string.Join(" ", missing)}";
        if (!root)
        {
            throw new BuildException($"These packages are missing and only root may install them: {string.Join(" ", missing)}. Run{Environment.NewLine}  sudo {command}{Environment.NewLine}then run the task again.");
        }

        Console.WriteLine($"bootstrap: installing {string.Join(" ", missing)}");
        var environment = new Dictionary<string, string> { ["DEBIAN_FRONTEND"] = "noninteractive" };
        string[] install = ["install", "-y", "-q", "--no-install-recommends", .. missing];
        var result = HasLists() ? Shell.Capture(apt, install, environment: environment) : null;
        if (result is not { ExitCode: 0 })
        {
            var update = Shell.Capture(apt, ["update", "-q"], environment: environment);
            result = Shell.Capture(apt, install, environment: environment);
            if (result.ExitCode != 0)
            {
                throw new BuildException($"apt-get failed:{Environment.NewLine}{update.Error}{result.Output}{result.Error}Run{Environment.NewLine}  {command}{Environment.NewLine}by hand, then run the task again.");
            }
        }

        if (Missing() is { Length: > 0 } still)
        {
            throw new BuildException($"apt-get installed all it was asked for, yet these are not found: {string.Join(" ", still)}.");
        }
    }

    /// <summary>Installs Pester from the PowerShell Gallery when PowerShell is there and Pester is not. Tests without it are skipped, so nothing fails here.</summary>
    public static void EnsurePester()
    {
        if (PowerShell.Find() is not { } pwsh || PowerShell.HasPester(pwsh))
        {
            return;
        }

        Console.WriteLine("bootstrap: installing Pester from the PowerShell Gallery");
        var result = Shell.Capture(pwsh, ["-NoProfile", "-NonInteractive", "-Command", $$"""
            $ErrorActionPreference = 'Stop'; $ProgressPreference = 'SilentlyContinue'
            if (Get-Command Install-PSResource -ErrorAction Ignore) { Install-PSResource Pester -Version '[{{PesterVersion}},6.0)' -Scope CurrentUser -TrustRepository -Quiet }
            else { Install-Module Pester -MinimumVersion {{PesterVersion}} -MaximumVersion 5.99 -Scope CurrentUser -Force -SkipPublisherCheck }
            """], TimeSpan.FromMinutes(2));
        if (result.ExitCode != 0)
        {
            Console.WriteLine("bootstrap: Pester could not be installed; its tests will be skipped. By hand: Install-PSResource Pester");
        }
    }

    private static string[] Missing() => [.. Packages.Where(package => !package.Present()).Select(package => package.Package)];

    private static bool HasLists() =>
        Directory.Exists("/var/lib/apt/lists") && Directory.EnumerateFiles("/var/lib/apt/lists", "*_Packages*").Any();
}

/// <summary>PowerShell on this machine, which may or may not be there.</summary>
internal static class PowerShell
{
    /// <summary>How to get it, for those who want the module's part too.</summary>
    public const string HowToGet = "https://learn.microsoft.com/powershell/scripting/install/installing-powershell-on-linux (or, with the .NET SDK: dotnet tool install --global PowerShell)";

    /// <summary>Names the PowerShell to use; `none` for none.</summary>
    public const string Variable = "DOSANDBOX_PWSH";

    private static readonly Lazy<string?> Found = new(Look);

    /// <summary>PowerShell 7.4 or later, or null.</summary>
    public static string? Find() => Found.Value;

    public static bool HasPester(string pwsh) => Shell.Capture(pwsh,
        ["-NoProfile", "-NonInteractive", "-Command", "exit [int](-not (Get-Module -ListAvailable Pester | Where-Object Version -ge ([version]'5.0')))"], TimeSpan.FromMinutes(1)).ExitCode == 0;

    private static string? Look()
    {
        var named = Environment.GetEnvironmentVariable(Variable);
        if (string.Equals(named, "none", StringComparison.OrdinalIgnoreCase))
        {
            return null;
        }

        var pwsh = string.IsNullOrEmpty(named) ? Shell.Find("pwsh") : named;
        return pwsh is not null && Shell.Capture(pwsh,
            ["-NoProfile", "-NonInteractive", "-Command", "exit [int]($PSVersionTable.PSVersion -lt [version]'7.4')"], TimeSpan.FromMinutes(1)).ExitCode == 0
            ? pwsh
            : null;
    }
}
