@{
    RootModule           = 'DoSandbox.psm1'
    ModuleVersion        = '0.1.0'
    GUID                 = '5f0f0c9a-3f3e-4d43-9a6c-4b0f5e7a9b61'
}
