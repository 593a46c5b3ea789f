@{
    RootModule           = 'DoSandbox.psm1'
    ModuleVersion        = '0.1.0'
    GUID                 = '5f0f0c9a-3f3e-4d43-9a6c-4b0f5e7a9b61'
    Author               = 'The DoSandbox authors'
    CompanyName          = 'DoSandbox'
    Copyright            = '(c) The DoSandbox authors. MIT licence.'
    Description          = 'Creates isolated sandboxes, runs untrusted code in them and moves files in and out.'
    CompatiblePSEditions = @('Core')
    PowerShellVersion    = '7.4'
    FormatsToProcess     = @('DoSandbox.Format.ps1xml')
    TypesToProcess       = @('DoSandbox.Types.ps1xml')
    CmdletsToExport      = @(
        'Get-Sandbox'
        'Get-SandboxBackend'
        'Get-SandboxFile'
        'Invoke-SandboxCommand'
        'New-Sandbox'
        'Remove-Sandbox'
        'Send-SandboxFile'
        'Wait-Sandbox'
    )
    FunctionsToExport    = @()
    AliasesToExport      = @()
    VariablesToExport    = @()
    PrivateData          = @{
        PSData = @{
            Tags       = @('Sandbox', 'Isolation', 'UntrustedCode', 'AppPlatform', 'Bubblewrap', 'PSEdition_Core', 'Linux')
            License    = 'MIT'
        }
    }
}
