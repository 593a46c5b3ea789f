BeforeDiscovery { $skip = $env:DOSANDBOX_TEST_LOCAL -ne 'yes' }

BeforeAll {
    Import-Module "$PSScriptRoot/Support.psm1" -Force
    Import-Module (Get-ManifestPath)
    function Complete($line) { (TabExpansion2 $line $line.Length).CompletionMatches }
}

Describe 'Completion' {
    It 'knows images and backends' {
        (Complete 'New-Sandbox p').CompletionText | Should -Contain 'python'
        (Complete 'New-Sandbox -Image n').CompletionText | Should -Contain 'node'
        (Complete 'New-Sandbox -Backend ').CompletionText | Should -Contain 'Local'
        (Complete 'New-Sandbox -Network h').CompletionText | Should -Be 'Host'
        (Complete 'Get-SandboxBackend l').CompletionText | Should -Contain 'Local'
    }

    It 'knows the sandboxes: <_>' -Skip:$skip -ForEach 'Get-Sandbox', 'Remove-Sandbox', 'Wait-Sandbox', 'Invoke-SandboxCommand', 'Send-SandboxFile', 'Get-SandboxFile' {
        # A PowerShell of its own, as values are kept for 5 seconds.
        $name = New-TestName
        $s = New-Sandbox -Name $name
        $line = "$_ $($name.Substring(0, 6))"
        # The first Tab answers within its bound whether or not the look-up is ready by then; it goes on, and a later Tab has it.
        Invoke-Pwsh "Import-Module '$(Get-ManifestPath)'
            `$clock = [Diagnostics.Stopwatch]::StartNew()
            do { `$found = (TabExpansion2 '$line' $($line.Length)).CompletionMatches.CompletionText } until (`$found -contains '$name' -or `$clock.Elapsed.TotalSeconds -gt 20)
            `$found" | Should -Contain $name
        Remove-Sandbox $s -Force
    }

    It 'is quick and silent when nothing works' {
        $script = "`$env:DOSANDBOX_HOME = '/proc/no/such'; Import-Module '$(Get-ManifestPath)'
            `$null = TabExpansion2 'Get-Sandbox ' 12
            `$clock = [Diagnostics.Stopwatch]::StartNew()
            `$found = (TabExpansion2 'Remove-Sandbox x' 16).CompletionMatches
            `$clock.ElapsedMilliseconds -lt 1000; `$Error.Count"
        Invoke-Pwsh $script | Should -Be 'True', '0'
    }
}
