# Runs the module's Pester tests against module/ as it was built. The last line is "<n> passed, <n> failed, <n> skipped".
[CmdletBinding()]
param(
    # Only the test files with such names.
    [string[]] $Filter = '*'
)

$ErrorActionPreference = 'Stop'
Import-Module Pester -MinimumVersion 5.0 -MaximumVersion 5.99
$module = Import-Module "$PSScriptRoot/../../module/DoSandbox.psd1" -PassThru

# Sandboxes of the tests live apart from the user's. Other users must be able to pass: as root each sandbox has a user of its own.
$root = Join-Path ([IO.Path]::GetTempPath()) "dosandbox-pester-$PID"
$env:DOSANDBOX_HOME = "$root/home"
$env:DOSANDBOX_BACKEND = $null
$null = New-Item -ItemType Directory $root, $env:DOSANDBOX_HOME
if (-not $IsWindows) {
    [IO.File]::SetUnixFileMode($root, [Convert]::ToInt32('711', 8))
    [IO.File]::SetUnixFileMode($env:DOSANDBOX_HOME, [Convert]::ToInt32('711', 8))
}

try {
    $local = Get-SandboxBackend Local
    $env:DOSANDBOX_TEST_LOCAL = if ($local.Usable) { 'yes' } else { '' }
    if (-not $local.Usable) {
        Write-Output "pester: what needs a local sandbox is skipped: $($local.Reason)"
    }

    $configuration = New-PesterConfiguration
    $configuration.Run.Path = @(Get-ChildItem "$PSScriptRoot/*" -Include $Filter.ForEach{ "$_.Tests.ps1" }).FullName
    $configuration.Run.PassThru = $true
    $configuration.Output.Verbosity = 'Normal'
    $configuration.Output.RenderMode = 'Plaintext'
    $result = Invoke-Pester -Configuration $configuration
}
finally {
    Get-Sandbox -ErrorAction Ignore | Remove-Sandbox -Force -ErrorAction Continue
    [IO.Directory]::Delete($root, $true)
}

# A block that fails outside of its tests hides them: it counts as one.
$failed = $result.FailedCount + $result.FailedBlocksCount + $result.FailedContainersCount
Write-Output "$($result.PassedCount) passed, $failed failed, $($result.SkippedCount + $result.NotRunCount) skipped"
exit [int]($failed -gt 0 -or $result.PassedCount -eq 0)
