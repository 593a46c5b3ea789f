BeforeAll {
    Import-Module "$PSScriptRoot/Support.psm1" -Force
    $manifest = Get-ManifestPath
    Import-Module $manifest
    $expected = 'Get-Sandbox', 'Get-SandboxBackend', 'Get-SandboxFile', 'Invoke-SandboxCommand', 'New-Sandbox', 'Remove-Sandbox', 'Send-SandboxFile', 'Wait-Sandbox'
}

Describe 'The manifest' {
    It 'is valid and asks for PowerShell 7.4 on Core' {
        $data = Test-ModuleManifest $manifest
        $data.PowerShellVersion | Should -Be '7.4'
        $data.CompatiblePSEditions | Should -Be 'Core'
        $data.PrivateData.PSData.Tags | Should -Contain 'Sandbox'
    }

    It 'exports exactly the cmdlets, by name' {
        $data = Import-PowerShellDataFile $manifest
        $data.CmdletsToExport | Sort-Object | Should -Be $expected
        $data.FunctionsToExport | Should -BeNullOrEmpty
        $data.AliasesToExport | Should -BeNullOrEmpty
        $data.VariablesToExport | Should -BeNullOrEmpty
        (Get-Command -Module DoSandbox).Name | Sort-Object | Should -Be $expected
    }
}

Describe 'Loading' {
    It 'keeps its assemblies in a context of their own' {
        $cmdlets = (Get-Command New-Sandbox).ImplementingType.Assembly
        [Runtime.Loader.AssemblyLoadContext]::GetLoadContext($cmdlets).Name | Should -Be 'DoSandbox'
        [Runtime.Loader.AssemblyLoadContext]::Default.Assemblies.ForEach{ $_.GetName().Name } | Where-Object { $_ -like 'DoSandbox*' } | Should -Be 'DoSandbox.Loader'
    }

    It 'brings no assembly of PowerShell along' {
        (Get-ChildItem "$(Split-Path $manifest)/bin" -Filter *.dll).Name | Should -Not -Contain 'System.Management.Automation.dll'
    }

    It 'happens by itself when a cmdlet is first used' {
        $folder = Split-Path (Split-Path $manifest)
        $link = "$TestDrive/modules/DoSandbox"
        $null = New-Item -ItemType Directory "$TestDrive/modules"
        $null = New-Item -ItemType SymbolicLink -Path $link -Target "$folder/module"
        Invoke-Pwsh "`$env:PSModulePath = '$TestDrive/modules' + [IO.Path]::PathSeparator + `$env:PSModulePath; New-Sandbox -Name x -WhatIf; (Get-Module DoSandbox).Name" |
            Select-Object -Last 1 | Should -Be 'DoSandbox'
    }

    It 'works by using module' {
        Invoke-Pwsh "using module '$manifest'`n(Get-Command Get-Sandbox).Source" | Should -Be 'DoSandbox'
    }

    It 'can be done again with -Force' {
        Invoke-Pwsh "1..3 | ForEach-Object { Import-Module '$manifest' -Force }; (Get-Command -Module DoSandbox).Count" | Should -Be $expected.Count
    }

    It 'can be undone, and then done again' {
        Invoke-Pwsh "Import-Module '$manifest'; Remove-Module DoSandbox; (Get-Module DoSandbox*).Count; [bool](Get-Command New-Sandbox -ErrorAction Ignore -ListImported)
            Import-Module '$manifest'; (Get-Command -Module DoSandbox).Count; (New-Sandbox -WhatIf 6>&1) -is [object]" | Select-Object -First 3 |
            Should -Be '0', 'False', "$($expected.Count)"
    }

    It 'says what to do when it is not built' {
        Copy-Item (Split-Path $manifest) "$TestDrive/unbuilt" -Recurse -Exclude bin
        Remove-Item "$TestDrive/unbuilt/bin" -Recurse -Force -ErrorAction Ignore
        Invoke-Pwsh "try { Import-Module '$TestDrive/unbuilt/DoSandbox.psd1' -ErrorAction Stop } catch { `"`$_`" }" | Should -BeLike '*is not built*build.sh build*'
    }

    It 'works in 16 runspaces at once' {
        $counts = 1..16 | ForEach-Object -ThrottleLimit 16 -Parallel {
            Import-Module $using:manifest
            (Get-Command -Module DoSandbox).Count
        }
        $counts | Should -Be (@($expected.Count) * 16)
    }
}

Describe 'Cmdlets that change something' {
    It 'has -WhatIf and -Confirm: <_>' -ForEach 'New-Sandbox', 'Remove-Sandbox', 'Invoke-SandboxCommand', 'Send-SandboxFile', 'Get-SandboxFile' {
        (Get-Command $_).Parameters.Keys | Should -Contain 'WhatIf'
        (Get-Command $_).Parameters.Keys | Should -Contain 'Confirm'
    }

    It 'declares what it writes: <_>' -ForEach 'New-Sandbox', 'Get-Sandbox', 'Wait-Sandbox', 'Invoke-SandboxCommand', 'Send-SandboxFile', 'Get-SandboxFile', 'Get-SandboxBackend' {
        (Get-Command $_).OutputType.Count | Should -BeGreaterThan 0
    }
}

Describe 'What is only asked about' -Skip:($IsWindows) {
    It 'starts no process and makes no folder with -WhatIf' {
        $trap = "$TestDrive/trap"
        $null = New-Item -ItemType Directory $trap
        foreach ($program in 'bwrap', 'dosandbox-agent') {
            [IO.File]::WriteAllText("$trap/$program", "#!/bin/sh`necho `"`$0`" >> '$trap/started'`nexit 1`n")
            [IO.File]::SetUnixFileMode("$trap/$program", [Convert]::ToInt32('755', 8))
        }

        'content' > "$TestDrive/file.txt"
        # The trap itself works: without -WhatIf something is started from it.
        $script = @"
`$env:PATH = '$trap' + ':' + `$env:PATH
`$env:DOSANDBOX_AGENT = '$trap/dosandbox-agent'
`$env:DOSANDBOX_HOME = '$TestDrive/no-home'
Import-Module '$manifest'
"@
        $calls = @"
New-Sandbox -Name x -WhatIf
Remove-Sandbox x -WhatIf
'y', 'z' | Remove-Sandbox -WhatIf -Force
Invoke-SandboxCommand x 'true' -WhatIf
'in' | Invoke-SandboxCommand x 'cat' -WhatIf
Send-SandboxFile x '$TestDrive/file.txt' /app/ -WhatIf
Get-SandboxFile x '/app/*' '$TestDrive/' -WhatIf
`$WhatIfPreference = `$true
Remove-Sandbox x -Force
"@
        $output = Invoke-Pwsh "$script`n$calls"
        @($output | Where-Object { "$_" -like 'What if:*' }).Count | Should -Be 9
        $output | Where-Object { $_ -is [System.Management.Automation.ErrorRecord] } | Should -BeNullOrEmpty
        "$trap/started" | Should -Not -Exist
        "$TestDrive/no-home" | Should -Not -Exist

        $null = Invoke-Pwsh "$script`nNew-Sandbox -Name x"
        "$trap/started" | Should -Exist
    }
}
