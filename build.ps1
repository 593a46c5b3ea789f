#!/usr/bin/env pwsh
#requires -Version 7.4
<#
.SYNOPSIS
Every task of this repository. build.ps1 Help lists them.
.EXAMPLE
./build.ps1 Build
.EXAMPLE
./build.ps1 Test unit --filter FullyQualifiedName~Frames
#>
[CmdletBinding(PositionalBinding = $false)]
param(
    [Parameter(Position = 0)]
    [ValidateSet('Bootstrap', 'Build', 'Demo', 'Test', 'Bench', 'Docs', 'Package', 'Install', 'Clean', 'Help')]
    [string] $Task = 'Build',

    [Parameter(Position = 1, ValueFromRemainingArguments)]
    [string[]] $ArgumentList = @()
)

$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $false
$env:DOTNET_CLI_TELEMETRY_OPTOUT = '1'
$env:DOTNET_NOLOGO = '1'
$env:DOTNET_SKIP_FIRST_TIME_EXPERIENCE = '1'
$env:MSBUILDDISABLENODEREUSE = '1'
$env:DOTNET_CLI_USE_MSBUILD_SERVER = '0'
# The tests and the demo run in the PowerShell that runs this.
$env:DOSANDBOX_PWSH = (Get-Process -Id $PID).Path

function Stop-Task([string] $Message) {
    [Console]::Error.WriteLine($Message)
    if ($Task -eq 'Test') { [Console]::Out.WriteLine('0 passed, 1 failed, 0 skipped') }
    exit 1
}

if (-not (Get-Command dotnet -ErrorAction Ignore) -or -not (@(dotnet --list-sdks) -match '^(1\d|[2-9]\d)\.')) {
    Stop-Task 'build: the .NET SDK 10 is missing; how to get it: https://dotnet.microsoft.com/download/dotnet/10.0'
}

$build = Join-Path $PSScriptRoot 'build'
$program = Join-Path $PSScriptRoot 'out/build/DoSandbox.Build.dll'
$made = if (Test-Path -LiteralPath $program) { (Get-Item -LiteralPath $program).LastWriteTimeUtc } else { [datetime]::MinValue }
$sources = @(Get-ChildItem -LiteralPath $build -File | Where-Object Extension -in '.cs', '.csproj') +
    @(Get-Item (Join-Path $PSScriptRoot 'Directory.*.props'))
if ($sources.Where{ $_.LastWriteTimeUtc -gt $made }) {
    $log = dotnet build (Join-Path $build 'DoSandbox.Build.csproj') -c Release -o (Join-Path $PSScriptRoot 'out/build') -v q -nologo 2>&1
    if ($LASTEXITCODE -ne 0) { Stop-Task ($log -join [Environment]::NewLine) }
    (Get-Item -LiteralPath $program).LastWriteTimeUtc = [datetime]::UtcNow
}

dotnet $program $Task @ArgumentList
exit $LASTEXITCODE
