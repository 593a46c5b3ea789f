#requires -Version 7.4
# The story of one sandbox through the module: ./build.ps1 Demo gives the arguments.
param(
    [Parameter(Mandatory)] [string] $SecretFile,
    [Parameter(Mandatory)] [int] $Port,
    [string] $HostAddress = ''
)

$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$repository = (Resolve-Path (Join-Path $PSScriptRoot '../..')).Path

function Step([string] $What, [scriptblock] $Action) {
    [Console]::WriteLine("`n* $What")
    $clock = [Diagnostics.Stopwatch]::StartNew()
    . $Action | Out-String -Stream -Width 140 | ForEach-Object { $_ -split '\r?\n' } | ForEach-Object { if ($_.Trim()) { [Console]::WriteLine("  $($_.TrimEnd())") } }
    [Console]::WriteLine([string]::Format([cultureinfo]::InvariantCulture, '  ok, {0:0.00} s', $clock.Elapsed.TotalSeconds))
}

function Show([string] $Text) { [Console]::WriteLine("  PS> $Text") }

function Assert([bool] $Holds, [string] $Otherwise) { if (-not $Holds) { throw $Otherwise } }

$whole = [Diagnostics.Stopwatch]::StartNew()
$name = "demo-$([guid]::NewGuid().ToString('n').Substring(0, 6))"
$work = New-Item -ItemType Directory -Path (Join-Path ([IO.Path]::GetTempPath()) "dosandbox-$name")
$made = $false
$exitCode = 1
try {
    Step 'load the module' {
        Show 'Import-Module ./module/DoSandbox.psd1'
        Import-Module (Join-Path $repository 'module/DoSandbox.psd1')
    }
    Step 'create a sandbox' {
        Show "`$s = New-Sandbox python -Name $name -Backend Local -TimeToLive 00:10:00"
        $script:made = $true
        $script:s = New-Sandbox python -Name $name -Backend Local -TimeToLive 00:10:00
        $script:s
    }
    Step 'run a Python program' {
        Show 'Get-Content ./build/demo/hello.py | Invoke-SandboxCommand $s ''python3 -'''
        $result = Get-Content (Join-Path $PSScriptRoot 'hello.py') | Invoke-SandboxCommand -Sandbox $s -Command 'python3 -'
        $result.Stdout
        Assert ($result.Success -and $result.Stdout.Contains('500500')) "the program printed something else: $($result.Stderr)"
    }
    Step 'send a file, change it inside, fetch it back' {
        $file = Join-Path $work 'numbers.csv'
        [IO.File]::WriteAllText($file, -join (1..1000 | ForEach-Object { "row $_,$_`n" }))
        Show 'Send-SandboxFile $s ./numbers.csv /app/'
        Send-SandboxFile $s $file /app/ | Out-Null
        Show 'Get-Content ./build/demo/change.py | Invoke-SandboxCommand $s ''python3 - /app/numbers.csv'''
        $result = Get-Content (Join-Path $PSScriptRoot 'change.py') | Invoke-SandboxCommand -Sandbox $s -Command 'python3 - /app/numbers.csv'
        Assert $result.Success "the change failed: $($result.Stderr)"
        $back = New-Item -ItemType Directory -Path (Join-Path $work 'back')
        Show 'Get-SandboxFile $s /app/numbers.csv ./back/'
        $fetched = Get-SandboxFile $s /app/numbers.csv "$back/"
        $inside = $result.Stdout.Trim()
        $outside = (Get-FileHash -LiteralPath $fetched.FullName -Algorithm SHA256).Hash.ToLowerInvariant()
        "SHA-256 inside  $inside"
        "SHA-256 outside $outside"
        Assert ($inside -eq $outside -and (Get-Content -LiteralPath $fetched.FullName -Tail 1) -eq 'row 1000,2000') 'the file that came back is not the file that was changed'
    }
    Step 'try to reach the host''s files, processes and network from inside' {
        Assert ([IO.File]::Exists($SecretFile)) 'the host itself lacks the file that the sandbox must not see'
        $addresses = $HostAddress.Split(',', [StringSplitOptions]::RemoveEmptyEntries) -join ' '
        Show "Get-Content ./build/demo/escape.py | Invoke-SandboxCommand `$s 'python3 - $SecretFile $Port $addresses'"
        $result = Get-Content (Join-Path $PSScriptRoot 'escape.py') | Invoke-SandboxCommand -Sandbox $s -Command "python3 - '$SecretFile' $Port $addresses"
        $result.Stdout
        Assert $result.Success "something of the host was reached: $($result.Stderr)"
    }
    Step 'remove it' {
        Show '$s | Remove-Sandbox -Force'
        $s | Remove-Sandbox -Force
        $script:made = $false
        Assert (-not (Get-Sandbox | Where-Object Name -EQ $name)) 'the sandbox is still listed'
    }
    [Console]::WriteLine([string]::Format([cultureinfo]::InvariantCulture, "`ndemo: all held ({0:0.0} s)", $whole.Elapsed.TotalSeconds))
    $exitCode = 0
}
catch {
    [Console]::WriteLine("`ndemo: FAILED: $($_.Exception.Message)")
    [Console]::WriteLine("  $($_.ScriptStackTrace)")
}
finally {
    if ($made) { Remove-Sandbox $name -Force -ErrorAction Ignore }
    Remove-Item -LiteralPath $work -Recurse -Force -ErrorAction Ignore
}

exit $exitCode
