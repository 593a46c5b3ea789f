# What the tests share.

$script:Manifest = (Resolve-Path "$PSScriptRoot/../../module/DoSandbox.psd1").Path

function Get-ManifestPath { $script:Manifest }

function New-TestName { "t-$([Guid]::NewGuid().ToString('N').Substring(0, 12))" }

# A folder of this machine for odd names, which TestDrive: cannot clean up; run.ps1 does.
function New-WorkFolder { [IO.Directory]::CreateDirectory("$env:DOSANDBOX_HOME/../work/$(New-TestName)").FullName }

# Runs a script in a PowerShell of its own and returns what it wrote.
function Invoke-Pwsh {
    param([Parameter(Mandatory)] [string] $Script)
    $file = Join-Path ([IO.Path]::GetTempPath()) "dosandbox-$([Guid]::NewGuid().ToString('N')).ps1"
    [IO.File]::WriteAllText($file, $Script)
    try {
        & (Get-Process -Id $PID).Path -NoProfile -NonInteractive -File $file 2>&1
    }
    finally {
        Remove-Item $file
    }
}

# The processes of this machine, sandboxes included, whose command line holds the text.
function Get-MarkedProcess {
    param([Parameter(Mandatory)] [string] $Marker)
    foreach ($folder in [IO.Directory]::EnumerateDirectories('/proc')) {
        $id = 0
        if ([int]::TryParse([IO.Path]::GetFileName($folder), [ref] $id) -and $id -ne $PID) {
            try {
                if ([IO.File]::ReadAllText("$folder/cmdline").Contains($Marker)) { $id }
            }
            catch [IO.IOException], [UnauthorizedAccessException] {
                # It ended meanwhile, or is another user's.
                continue
            }
        }
    }
}

# True as soon as the condition holds, false when it does not within the time.
function Wait-Until {
    param([Parameter(Mandatory)] [scriptblock] $Condition, [double] $Seconds = 3)
    $clock = [Diagnostics.Stopwatch]::StartNew()
    while (-not (& $Condition)) {
        if ($clock.Elapsed.TotalSeconds -ge $Seconds) { return $false }
        [Threading.Thread]::Sleep(20)
    }

    $true
}

# What a script writes, as a host without colours shows it.
function Get-Display {
    param([Parameter(ValueFromPipeline)] $InputObject, [int] $Width = 120)
    begin { $all = [Collections.Generic.List[object]]::new() }
    process { $all.Add($InputObject) }
    end { ($all | Out-String -Width $Width) -replace "`e\[[0-9;]*m", '' }
}

Export-ModuleMember -Function *-*
