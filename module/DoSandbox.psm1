# Kept short: each call costs about a millisecond of every import.
$ErrorActionPreference = 'Stop'

try {
    $null = [Reflection.Assembly]::LoadFrom("$PSScriptRoot/bin/DoSandbox.Loader.dll")
}
catch [IO.FileNotFoundException] {
    throw "DoSandbox is not built: '$PSScriptRoot/bin/DoSandbox.Loader.dll' is missing. In a clone run ./build.sh build, then import the module again."
}
catch [IO.FileLoadException] {
    throw "Another version of DoSandbox is loaded in this process. Start a new PowerShell to use this one. ($_)"
}

$inner = Import-Module -Assembly ([DoSandbox.Loader.ModuleLoadContext]::LoadCmdlets()) -PassThru

# Without this a second import (-Force, or after Remove-Module) would find the inner module loaded and export nothing.
$ExecutionContext.SessionState.Module.OnRemove = { Remove-Module -ModuleInfo $inner -Force }
