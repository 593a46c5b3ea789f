BeforeDiscovery { $skip = $env:DOSANDBOX_TEST_LOCAL -ne 'yes' }

BeforeAll {
    Import-Module "$PSScriptRoot/Support.psm1" -Force
    Import-Module (Get-ManifestPath)
    if ($env:DOSANDBOX_TEST_LOCAL -eq 'yes') { $s = New-Sandbox -Name (New-TestName) -TimeToLive 2h }
    $hostile = [char]27 + ']0;owned' + [char]7 + [char]27 + '[2J'
}

AfterAll { $s | Where-Object { $_ } | Remove-Sandbox -Force }

Describe 'Views' -Skip:$skip {
    It 'shows sandboxes as a table' {
        $text = $s | Get-Display
        $text | Should -Match 'Name\s+State\s+Backend\s+Image\s+Age\s+Expires\s+Id'
        $text | Should -Match "$($s.Name)\s+Running\s+Local\s+python\s+\d+s\s+1h 59m\s+$($s.Id)"
        $s | Format-Wide | Get-Display | Should -Match $s.Name
        $s | Format-List | Get-Display | Should -Match 'CreatedAt'
    }

    It 'shows a result with its output' {
        $text = Invoke-SandboxCommand $s 'echo one; echo two; echo bad >&2; exit 3' | Get-Display
        $text | Should -Match 'ExitCode : 3'
        $text | Should -Match 'Stdout   : one\r?\n\s+two'
        $text | Should -Match 'Stderr   : bad'
        Invoke-SandboxCommand $s 'true' | Get-Display | Should -Not -Match 'Stderr|Signal'
    }

    It 'shows streamed lines as they are' {
        $text = Invoke-SandboxCommand $s 'echo one; echo two' -Stream | Get-Display
        $text.Trim() -split '\r?\n' | Should -Be 'one', 'two'
    }

    It 'shows files as ls does' {
        'x' > "$TestDrive/v.txt"
        [IO.File]::SetUnixFileMode("$TestDrive/v.txt", [Convert]::ToInt32('640', 8))
        Send-SandboxFile $s "$TestDrive/v.txt" /tmp/ | Get-Display | Should -Match '-rw-r-----\s+\S+\s+2\s.*/tmp/v\.txt'
    }

    It 'shows backends with what is missing' {
        Get-SandboxBackend | Get-Display | Should -Match 'Usable\s+: True'
        Get-SandboxBackend | Format-Table | Get-Display | Should -Match 'Local\s+True\s+True'
    }
}

Describe 'Text that comes out of a sandbox' -Skip:$skip {
    It 'cannot steer the terminal from the output' {
        $r = $hostile | Invoke-SandboxCommand $s 'tee /dev/stderr'
        $r.Stdout | Should -BeExactly "$hostile`n"
        $text = ($r | Out-String) + ($r | Format-Table | Out-String) + ($hostile | Invoke-SandboxCommand $s 'cat' -Stream | Out-String) + ($hostile | Invoke-SandboxCommand $s 'cat' -Stream | Format-Table | Out-String)
        $text | Should -Not -Match "`e\]"
        $text | Should -Not -Match "`e\[2J"
        $text | Should -BeLike '*\e]0;owned*'
    }

    It 'cannot steer the terminal from a file name' {
        $work = New-WorkFolder
        [IO.File]::WriteAllText("$work/$hostile", 'x')
        $file = Send-SandboxFile $s -LiteralPath "$work/$hostile" -Destination /tmp/
        $file.Name | Should -BeExactly $hostile
        ($file | Out-String) + ($file | Format-List | Out-String) + ($file | Format-Wide | Out-String) | Should -Not -Match "`e\]|`e\[2J"
    }

    It 'cannot steer the terminal from an error' {
        $null = Invoke-SandboxCommand $s "printf '\033]0;owned\007' >&2; exit 1" -ErrorOnNonZeroExit -ErrorVariable failures -ErrorAction SilentlyContinue
        "$($failures[0])" | Should -Not -Match "`e"
        $failures | Out-String | Should -Not -Match "`e\]"
    }
}

Describe 'Display' {
    It 'writes <Text> as <Expected>' -ForEach @(
        @{ Text = 'plain é€𝄞'; Expected = 'plain é€𝄞' }
        @{ Text = "a`nb`tc"; Expected = 'a\nb\tc' }
        @{ Text = "`e[31mred"; Expected = '\e[31mred' }
        @{ Text = "$([char]0x202e)gnp.exe"; Expected = '\u202egnp.exe' }
        @{ Text = "$([char]0x9b)31m"; Expected = '\x9b31m' }
        @{ Text = $null; Expected = '' }
    ) {
        [DoSandbox.PowerShell.Display]::OneLine($Text) | Should -BeExactly $Expected
    }

    It 'writes times and sizes for people' {
        [DoSandbox.PowerShell.Display]::Span([TimeSpan]::FromSeconds(59)) | Should -Be '59s'
        [DoSandbox.PowerShell.Display]::Span([TimeSpan]::FromMinutes(61)) | Should -Be '1h 1m'
        [DoSandbox.PowerShell.Display]::Span([TimeSpan]::FromHours(49)) | Should -Be '2d 1h'
        [DoSandbox.PowerShell.Display]::Bytes(512) | Should -Be '512 B'
        [DoSandbox.PowerShell.Display]::Bytes(1536) | Should -Be '1.5 KiB'
    }
}
