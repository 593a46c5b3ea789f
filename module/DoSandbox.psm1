$ErrorActionPreference = 'Stop'

$loader = [IO.Path]::Combine($PSScriptRoot, 'bin', 'DoSandbox.Loader.dll')
if (-not [IO.File]::Exists($loader)) {
    throw "DoSandbox is not built: '$loader' is missing. In a clone run ./build.sh build, then import the module again."
}

try {
    $null = [Reflection.Assembly]::LoadFrom($loader)
}
catch [IO.FileLoadException] {
    throw "Another version of DoSandbox is loaded in this process. Start a new PowerShell to use this one. ($_)"
}

$inner = Import-Module -Assembly ([DoSandbox.Loader.ModuleLoadContext]::LoadCmdlets()) -PassThru

# Without this a second import (-Force, or after Remove-Module) would find the inner module loaded and export nothing.
$ExecutionContext.SessionState.Module.OnRemove = { Remove-Module -ModuleInfo $inner -Force }
