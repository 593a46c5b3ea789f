BeforeDiscovery { $skip = $env:DOSANDBOX_TEST_LOCAL -ne 'yes' }

BeforeAll {
    Import-Module "$PSScriptRoot/Support.psm1" -Force
    Import-Module (Get-ManifestPath)
}

Describe 'New-Sandbox' -Skip:$skip {
    BeforeAll { $made = [Collections.Generic.List[object]]::new() }
    AfterAll { $made | Remove-Sandbox -Force -ErrorAction Ignore }

    It 'makes a running sandbox with the name and the metadata that it is given' {
        $name = New-TestName
        $s = New-Sandbox python -Name $name -Metadata @{ team = 'a'; run = 7 }
        $made.Add($s)
        $s.Name | Should -BeExactly $name
        $s.State | Should -Be 'Running'
        $s.Backend | Should -Be 'Local'
        $s.Image | Should -Be 'python'
        $s.Metadata['team'] | Should -Be 'a'
        $s.Metadata['run'] | Should -Be '7'
        (Get-Sandbox $name).Metadata['team'] | Should -Be 'a'
    }

    It 'generates a name when none is given' {
        $s = New-Sandbox
        $made.Add($s)
        $s.Name | Should -Not -BeNullOrEmpty
    }

    It 'passes an environment on exactly' {
        $value = "quotes ' and `", `$HOME, back\slash`nand a line é"
        $s = New-Sandbox -Environment @{ ODD = $value; NUMBER = 5; EMPTY = $null }
        $made.Add($s)
        (Invoke-SandboxCommand $s 'printf %s "$ODD"').Stdout | Should -BeExactly $value
        (Invoke-SandboxCommand $s 'echo $NUMBER ${EMPTY-unset}.').Stdout | Should -BeExactly "5 .`n"
    }

    It 'takes a time to live as <Text>' -ForEach @(
        @{ Text = '90s'; Seconds = 90 }, @{ Text = '1h30m'; Seconds = 5400 }, @{ Text = '2d'; Seconds = 172800 }
        @{ Text = '00:10:00'; Seconds = 600 }, @{ Text = 120; Seconds = 120 }, @{ Text = [TimeSpan]::FromMinutes(3); Seconds = 180 }
    ) {
        $s = New-Sandbox -TimeToLive $Text
        ($s.ExpiresAt - $s.CreatedAt).TotalSeconds | Should -BeGreaterThan ($Seconds - 30)
        ($s.ExpiresAt - $s.CreatedAt).TotalSeconds | Should -BeLessThan ($Seconds + 30)
        Remove-Sandbox $s -Force
    }

    It 'refuses <Case> before anything is made' -ForEach @(
        @{ Case = 'a time to live of nothing'; Arguments = @{ TimeToLive = 0 } }
        @{ Case = 'a time to live that is none'; Arguments = @{ TimeToLive = 'soon' } }
        @{ Case = 'less than no memory'; Arguments = @{ MemoryMB = -1 } }
        @{ Case = 'a backend that is not there'; Arguments = @{ Backend = 'nowhere' } }
        @{ Case = 'an image that is not there'; Arguments = @{ Image = 'no-such-image' } }
        @{ Case = 'an environment name with ='; Arguments = @{ Environment = @{ 'A=B' = 'c' } } }
        @{ Case = 'a root that is not there'; Arguments = @{ RootFileSystem = '/no/such/root' } }
    ) {
        $before = @(Get-Sandbox).Count
        { New-Sandbox @Arguments -ErrorAction Stop } | Should -Throw
        @(Get-Sandbox).Count | Should -Be $before
    }

    It 'refuses a name that is taken, and says what to do' {
        $s = New-Sandbox -Name (New-TestName)
        $made.Add($s)
        $failure = { New-Sandbox -Name $s.Name -ErrorAction Stop } | Should -Throw -PassThru
        $failure.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.NameTaken,*'
        $failure.CategoryInfo.Category | Should -Be 'ResourceExists'
        $failure.ErrorDetails.RecommendedAction | Should -Not -BeNullOrEmpty
    }

    It 'warns of the network of the host' {
        $s = New-Sandbox -Network Host -WarningVariable warnings -WarningAction SilentlyContinue
        $made.Add($s)
        "$warnings" | Should -BeLike '*network*'
    }
}

Describe 'Get-Sandbox' -Skip:$skip {
    BeforeAll {
        $prefix = New-TestName
        $a = New-Sandbox -Name "$prefix-a"
        $b = New-Sandbox -Name "$prefix-b"
    }
    AfterAll { $a, $b | Remove-Sandbox -Force }

    It 'finds by name, pattern and id' {
        (Get-Sandbox $a.Name).Id | Should -Be $a.Id
        (Get-Sandbox "$prefix-*").Name | Should -Be $a.Name, $b.Name
        (Get-Sandbox -Name "$prefix-?" -Backend Local).Count | Should -Be 2
        (Get-Sandbox -Id $b.Id).Name | Should -Be $b.Name
        (Get-Sandbox $b.Id).Name | Should -Be $b.Name
    }

    It 'takes a new picture of sandboxes from the pipeline' {
        ($a, $b | Get-Sandbox).Id | Should -Be $a.Id, $b.Id
        ($a.Name, $b.Name | Get-Sandbox).Id | Should -Be $a.Id, $b.Id
    }

    It 'is silent about a pattern that finds nothing, and not about a name' {
        Get-Sandbox "$prefix-none*" -ErrorAction Stop | Should -BeNullOrEmpty
        $failure = { Get-Sandbox "$prefix-none" -ErrorAction Stop } | Should -Throw -PassThru
        $failure.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.SandboxNotFound,*'
        $failure.CategoryInfo.Category | Should -Be 'ObjectNotFound'
        { Get-Sandbox -Id 'no-such-id' -ErrorAction Stop } | Should -Throw -ErrorId 'DoSandbox.SandboxNotFound*'
    }

    It 'refuses a pattern that is none, and says what to do' {
        foreach ($call in { Get-Sandbox '[a' -ErrorAction Stop }, { Get-SandboxBackend '[a' -ErrorAction Stop }) {
            $failure = $call | Should -Throw -PassThru
            $failure.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.InvalidArgument,*'
            $failure.ErrorDetails.RecommendedAction | Should -BeLike '*backtick*'
        }
    }

    It 'finds from another process' {
        Invoke-Pwsh "Import-Module '$(Get-ManifestPath)'; (Get-Sandbox '$($a.Name)').Id; (Invoke-SandboxCommand '$($a.Name)' 'echo there').Stdout.Trim()" | Should -Be $a.Id, 'there'
    }
}

Describe 'Remove-Sandbox' -Skip:$skip {
    It 'takes objects, ids, names and what has a property for them' {
        $all = 1..6 | ForEach-Object { New-Sandbox -Name (New-TestName) }
        $all[0] | Remove-Sandbox -Force
        Remove-Sandbox $all[1].Id -Force
        Remove-Sandbox -Name $all[2].Name -Force
        [pscustomobject]@{ Id = $all[3].Id } | Remove-Sandbox -Force
        [pscustomobject]@{ Name = $all[4].Name } | Remove-Sandbox -Force
        [System.Management.Automation.PSSerializer]::Deserialize([System.Management.Automation.PSSerializer]::Serialize($all[5])) | Remove-Sandbox -Force
        (Get-Sandbox).Id | Where-Object { $_ -in $all.Id } | Should -BeNullOrEmpty
    }

    It 'leaves no process and no file' {
        $s = New-Sandbox -Name (New-TestName)
        $marker = "4$(Get-Random -Minimum 100000000)"
        $null = Invoke-SandboxCommand $s "nohup setsid sleep $marker > /dev/null 2>&1 &"
        Wait-Until { Get-MarkedProcess $marker } | Should -BeTrue
        Remove-Sandbox $s -Force
        Get-MarkedProcess $marker | Should -BeNullOrEmpty
        Get-ChildItem $env:DOSANDBOX_HOME -Recurse -Force | Where-Object Name -like "*$($s.Id)*" | Should -BeNullOrEmpty
    }

    It 'goes on after one that is not there' {
        $s = New-Sandbox -Name (New-TestName)
        'no-such-sandbox', $s.Name | Remove-Sandbox -Force -ErrorVariable failures -ErrorAction SilentlyContinue
        $failures.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.SandboxNotFound,*'
        Get-Sandbox "$($s.Name)*" | Should -BeNullOrEmpty
    }

    It 'removes nothing with -WhatIf, even with -Force' {
        $s = New-Sandbox -Name (New-TestName)
        Remove-Sandbox $s -WhatIf -Force
        (Get-Sandbox $s.Name).State | Should -Be 'Running'
        Remove-Sandbox $s -Force
    }

    It 'refuses a file of a sandbox' {
        $s = New-Sandbox -Name (New-TestName)
        'x' > "$TestDrive/x.txt"
        $file = Send-SandboxFile $s "$TestDrive/x.txt" /app/
        { $file | Remove-Sandbox -Force -ErrorAction Stop } | Should -Throw
        (Get-Sandbox $s.Name).State | Should -Be 'Running'
        Remove-Sandbox $s -Force
    }

    It 'ends for other cmdlets too' {
        $s = New-Sandbox -Name (New-TestName)
        $null = Invoke-SandboxCommand $s 'true'
        Remove-Sandbox $s -Force
        $failure = { Invoke-SandboxCommand $s 'true' -ErrorAction Stop } | Should -Throw -PassThru
        $failure.FullyQualifiedErrorId | Should -Match '^DoSandbox\.(SandboxNotFound|SandboxEnded),'
    }
}

Describe 'A sandbox where a path of this machine is expected' -Skip:$skip {
    BeforeAll {
        # A file has the sandbox's name: it is what must not be touched.
        $work = New-WorkFolder
        Push-Location $work
        $s = New-Sandbox -Name (New-TestName)
        'of the host' > "$work/$($s.Name)"
    }
    AfterAll {
        Pop-Location
        $s | Remove-Sandbox -Force
    }

    It 'names no file for <_>' -ForEach 'Remove-Item', 'Get-Content', 'Get-ChildItem', 'Get-Item', 'Clear-Content', 'Copy-Item -Destination ./copied', 'Move-Item -Destination ./moved',
    'Rename-Item -NewName renamed', 'Set-Content -Value x', 'Resolve-Path', 'Get-FileHash' {
        $output = & ([scriptblock]::Create("param(`$s) try { `$s | $_ -ErrorAction SilentlyContinue } catch { `"`$_`" }")) $s 2>&1 3>$null
        "$output" | Should -Not -BeLike '*of the host*'
        Get-Content -LiteralPath "$work/$($s.Name)" | Should -Be 'of the host'
        (Get-ChildItem $work).Count | Should -Be 1
    }

    It 'names no file as an argument' {
        Remove-Item $s -ErrorAction SilentlyContinue
        Remove-Item -LiteralPath $s -ErrorAction SilentlyContinue
        Get-Content $s -ErrorAction SilentlyContinue | Should -BeNullOrEmpty
        Get-ChildItem $s -ErrorAction SilentlyContinue | Should -BeNullOrEmpty
        Get-Content -LiteralPath "$work/$($s.Name)" | Should -Be 'of the host'
    }

    It 'is still found by its text' {
        "$s" | Should -BeExactly "Sandbox:/$($s.Name)"
        (Get-Sandbox "$s").Id | Should -Be $s.Id
        ($s | Get-Sandbox).Id | Should -Be $s.Id
        (Wait-Sandbox "$s").Id | Should -Be $s.Id
        (Invoke-SandboxCommand "$s" 'echo found').Stdout | Should -BeExactly "found`n"
        'x' > "$TestDrive/x.txt"
        (Send-SandboxFile "$s" "$TestDrive/x.txt" /tmp/).SandboxId | Should -Be $s.Id
        $gone = New-Sandbox
        Remove-Sandbox "$gone" -Force
        Get-Sandbox -ErrorAction Stop | Where-Object Id -eq $gone.Id | Should -BeNullOrEmpty
    }

    It 'is named without it in questions and messages' {
        Invoke-Pwsh "Import-Module '$(Get-ManifestPath)'; Get-Sandbox '$($s.Name)' | Remove-Sandbox -WhatIf; Remove-Sandbox 'Sandbox:/$($s.Name)' -WhatIf" |
            ForEach-Object { "$_" | Should -BeLike "*target `"$($s.Name)`"*" }
    }
}

Describe 'Wait-Sandbox' -Skip:$skip {
    It 'returns at once for a state that is there' {
        $s = New-Sandbox -Name (New-TestName)
        ($s | Wait-Sandbox -TimeoutSec 5).State | Should -Be 'Running'
        Remove-Sandbox $s -Force
    }

    It 'waits until the time of a sandbox is up' {
        $s = New-Sandbox -Name (New-TestName) -TimeToLive 1s
        (Wait-Sandbox $s -State Ended -TimeoutSec 30).State | Should -Be 'Ended'
        { Wait-Sandbox $s -TimeoutSec 30 -ErrorAction Stop } | Should -Throw -ErrorId 'DoSandbox.SandboxEnded*'
        Remove-Sandbox $s -Force
    }

    It 'gives up when its time is over' {
        $s = New-Sandbox -Name (New-TestName)
        $failure = { Wait-Sandbox $s -State Suspended -TimeoutSec 0.3 -ErrorAction Stop } | Should -Throw -PassThru
        $failure.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.ReadyTimeout,*'
        $failure.CategoryInfo.Category | Should -Be 'OperationTimeout'
        $failure.TargetObject | Should -Be $s.Id
        Remove-Sandbox $s -Force
    }
}

Describe 'Get-SandboxBackend' {
    It 'tells of each backend whether it is usable, and why' {
        $local = Get-SandboxBackend Local
        $local.Name | Should -Be 'Local'
        $local.Reason | Should -Not -BeNullOrEmpty
        if (-not $local.Usable) { $local.Advice | Should -Not -BeNullOrEmpty }
    }

    It 'takes wildcards and refuses a name that is not there' {
        (Get-SandboxBackend L*).Name | Should -Contain 'Local'
        Get-SandboxBackend nothing* | Should -BeNullOrEmpty
        { Get-SandboxBackend nothing -ErrorAction Stop } | Should -Throw -ErrorId 'DoSandbox.InvalidArgument*'
    }

    It 'names the default by the environment' {
        Invoke-Pwsh "`$env:DOSANDBOX_BACKEND = 'local'; Import-Module '$(Get-ManifestPath)'; (Get-SandboxBackend Local).DefaultReason" | Should -BeLike '*DOSANDBOX_BACKEND*'
    }

    It 'says what is missing where bubblewrap is' -Skip:($IsWindows) {
        $status = Invoke-Pwsh "`$env:PATH = '$TestDrive'; Import-Module '$(Get-ManifestPath)'; Get-SandboxBackend Local | ForEach-Object { `$_.Usable; `$_.Reason; `$_.Advice }"
        $status[0] | Should -Be 'False'
        "$status" | Should -BeLike '*bubblewrap*'
    }
}
