BeforeDiscovery { $skip = $env:DOSANDBOX_TEST_LOCAL -ne 'yes' }

BeforeAll {
    Import-Module "$PSScriptRoot/Support.psm1" -Force
    Import-Module (Get-ManifestPath)
    if ($env:DOSANDBOX_TEST_LOCAL -eq 'yes') {
        $s = New-Sandbox -Name (New-TestName)
        $other = New-Sandbox -Name (New-TestName)
    }
}

AfterAll { $s, $other | Where-Object { $_ } | Remove-Sandbox -Force }

Describe 'The ways to call Invoke-SandboxCommand' -Skip:$skip {
    It 'takes sandbox and command by position' {
        (Invoke-SandboxCommand $s 'echo a').Stdout | Should -BeExactly "a`n"
        (Invoke-SandboxCommand $s.Name 'echo a').Stdout | Should -BeExactly "a`n"
        (Invoke-SandboxCommand $s.Id 'echo a').Stdout | Should -BeExactly "a`n"
    }

    It 'takes the sandbox from the pipeline, and the command by position or name' {
        ($s | Invoke-SandboxCommand 'echo b').Stdout | Should -BeExactly "b`n"
        ($s | Invoke-SandboxCommand -Command 'echo b').Stdout | Should -BeExactly "b`n"
    }

    It 'takes named arguments in any mixture' {
        (Invoke-SandboxCommand -Command 'echo c' -Sandbox $s).Stdout | Should -BeExactly "c`n"
        (Invoke-SandboxCommand 'echo c' -Sandbox $s).Stdout | Should -BeExactly "c`n"
        (Invoke-SandboxCommand -Command 'echo c' $s).Stdout | Should -BeExactly "c`n"
    }

    It 'runs in each sandbox of the pipeline, and of an array' {
        ($s, $other | Invoke-SandboxCommand 'echo d').Stdout | Should -Be "d`n", "d`n"
        (Invoke-SandboxCommand $s, $other 'echo d').Stdout | Should -Be "d`n", "d`n"
        (Get-Sandbox $s.Name, $other.Name | Invoke-SandboxCommand 'hostname; echo $?' -Stream | Where-Object Text -eq '0').Count | Should -Be 2
    }

    It 'takes a sandbox that came back from a job' {
        $back = [System.Management.Automation.PSSerializer]::Deserialize([System.Management.Automation.PSSerializer]::Serialize($s))
        ($back | Invoke-SandboxCommand 'echo e').Stdout | Should -BeExactly "e`n"
        (Invoke-SandboxCommand $back 'echo e').Stdout | Should -BeExactly "e`n"
    }

    It 'refuses <Case>' -ForEach @(
        @{ Case = 'strings where no sandbox is named'; Call = { 'text' | Invoke-SandboxCommand 'cat' -ErrorAction Stop } }
        @{ Case = 'a name from the pipeline'; Call = { $s.Name | Invoke-SandboxCommand 'true' -ErrorAction Stop } }
        @{ Case = 'no sandbox at all'; Call = { Invoke-SandboxCommand 'true' -ErrorAction Stop } }
        @{ Case = 'no command'; Call = { Invoke-SandboxCommand $s -ErrorAction Stop } }
        @{ Case = 'no command behind the pipeline'; Call = { $s | Invoke-SandboxCommand -ErrorAction Stop } }
        @{ Case = 'an empty command'; Call = { Invoke-SandboxCommand $s '' -ErrorAction Stop } }
        @{ Case = 'a command of spaces'; Call = { Invoke-SandboxCommand $s '  ' -ErrorAction Stop } }
        @{ Case = 'a command with NUL'; Call = { Invoke-SandboxCommand $s "echo `0" -ErrorAction Stop } }
        @{ Case = 'sandboxes both ways'; Call = { $s | Invoke-SandboxCommand $other 'true' -ErrorAction Stop } }
        @{ Case = 'an object without text as input'; Call = { [pscustomobject]@{ a = 1 } | Invoke-SandboxCommand $s 'cat' -ErrorAction Stop } }
        @{ Case = 'an environment value with NUL'; Call = { Invoke-SandboxCommand $s 'true' -Environment @{ A = "`0" } -ErrorAction Stop } }
    ) {
        $failure = $Call | Should -Throw -PassThru
        $failure.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.InvalidArgument,*'
        $failure.CategoryInfo.Category | Should -Be 'InvalidArgument'
        $failure.ErrorDetails.RecommendedAction | Should -Not -BeNullOrEmpty
    }

    It 'knows no sandbox of that name' {
        $failure = { Invoke-SandboxCommand 'no-such-sandbox' 'true' -ErrorAction Stop } | Should -Throw -PassThru
        $failure.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.SandboxNotFound,*'
    }

    It 'does not run anything with -WhatIf' {
        Invoke-SandboxCommand $s 'touch /tmp/what-if' -WhatIf
        'x' | Invoke-SandboxCommand $s 'touch /tmp/what-if' -WhatIf
        $s | Invoke-SandboxCommand 'touch /tmp/what-if' -WhatIf
        (Invoke-SandboxCommand $s 'test -e /tmp/what-if').ExitCode | Should -Be 1
    }
}

Describe 'Standard input' -Skip:$skip {
    It 'is a line for each string' {
        ('1', '2' | Invoke-SandboxCommand -Sandbox $s -Command 'cat -n').Stdout | Should -BeExactly "     1`t1`n     2`t2`n"
        ('', "a'b`"c`$d", ' e ' | Invoke-SandboxCommand $s 'cat').Stdout | Should -BeExactly "`na'b`"c`$d`n e `n"
        ("two`nlines", 'é€𝄞' | Invoke-SandboxCommand $s 'cat').Stdout | Should -BeExactly "two`nlines`né€𝄞`n"
    }

    It 'is empty when there is none' {
        (Invoke-SandboxCommand $s 'wc -c').Stdout.Trim() | Should -Be '0'
        (@() | Invoke-SandboxCommand $s 'wc -c').Stdout.Trim() | Should -Be '0'
        ($null | Invoke-SandboxCommand $s 'wc -c').Stdout.Trim() | Should -Be '0'
    }

    It 'is a line for each number, date and the like' {
        (1, 2.5, $true, [DayOfWeek]::Monday, [char]'x' | Invoke-SandboxCommand $s 'cat').Stdout | Should -BeExactly "1`n2.5`nTrue`nMonday`nx`n"
    }

    It 'is raw where it is bytes, every value' {
        $bytes = [byte[]](0..255)
        $expected = [Convert]::ToHexString($bytes)
        [Convert]::ToHexString(($bytes | Invoke-SandboxCommand $s 'cat').StdoutBytes) | Should -Be $expected
        [Convert]::ToHexString((, $bytes | Invoke-SandboxCommand $s 'cat').StdoutBytes) | Should -Be $expected
        [Convert]::ToHexString((Invoke-SandboxCommand $s 'cat' -InputObject $bytes).StdoutBytes) | Should -Be $expected
    }

    It 'is the exact output of another command' {
        $first = Invoke-SandboxCommand $s "printf 'a\000\377'"
        [Convert]::ToHexString(($first | Invoke-SandboxCommand $other 'cat').StdoutBytes) | Should -Be '6100FF'
        (Invoke-SandboxCommand $s 'echo q; echo r' -Stream | Invoke-SandboxCommand $other 'tac').Stdout | Should -BeExactly "r`nq`n"
    }

    It 'reaches each of several sandboxes whole' {
        ('x', 'y' | Invoke-SandboxCommand $s, $other 'wc -l').Stdout.Trim() | Should -Be '2', '2'
    }

    It 'may be large' {
        $line = 'x' * 1023
        $result = 1..5000 | ForEach-Object { $line } | Invoke-SandboxCommand $s 'wc -c'
        $result.Stdout.Trim() | Should -Be "$(5000 * 1024)"
    }

    It 'need not be read to its end' {
        ('a' * 1000 * 1000), ('b' * 3000000), 'c' | Invoke-SandboxCommand $s 'head -c 3' | ForEach-Object Stdout | Should -Be 'aaa'
        (1..20000 | Invoke-SandboxCommand $s 'exec true').ExitCode | Should -Be 0
    }

    It 'is read while it is still being written' {
        # Each line is answered before the next is made: only input that streams can do that.
        $answers = [Collections.Generic.List[string]]::new()
        $clock = [Diagnostics.Stopwatch]::StartNew()
        & {
            'first'
            while ($clock.Elapsed.TotalSeconds -lt 20 -and $answers.Count -eq 0) { [Threading.Thread]::Sleep(50); 'more' }
            'last'
        } | Invoke-SandboxCommand $s 'cat' -Stream | ForEach-Object { $answers.Add($_.Text) }
        $answers[0] | Should -Be 'first'
        $answers[-1] | Should -Be 'last'
        $clock.Elapsed.TotalSeconds | Should -BeLessThan 15
    }
}

Describe 'The result' -Skip:$skip {
    It 'keeps both streams apart and exact' {
        $r = Invoke-SandboxCommand $s 'printf "a\n\n b "; printf "e" >&2'
        $r.Stdout | Should -BeExactly "a`n`n b "
        $r.Stderr | Should -BeExactly 'e'
        $r.Success | Should -BeTrue
        $r.Duration | Should -BeOfType TimeSpan
        $r | Should -BeOfType ((Get-Command Invoke-SandboxCommand).OutputType[0].Type)
    }

    It 'has the exit code <_>, and so has $LASTEXITCODE' -ForEach 0, 1, 7, 127, 255 {
        $r = Invoke-SandboxCommand $s "exit $_"
        $r.ExitCode | Should -Be $_
        $r.Success | Should -Be ($_ -eq 0)
        $global:LASTEXITCODE | Should -Be $_
        $null = Invoke-SandboxCommand $s "exit $_" -Stream
        $global:LASTEXITCODE | Should -Be $_
    }

    It 'tells of a death by signal' {
        $r = Invoke-SandboxCommand $s 'kill -9 $$'
        $r.ExitCode | Should -Be 137
    }

    It 'sets $LASTEXITCODE for a script that dot-sources nothing' {
        Invoke-Pwsh "Import-Module '$(Get-ManifestPath)'; function f { `$null = Invoke-SandboxCommand '$($s.Name)' 'exit 9' }; f; `$LASTEXITCODE" | Should -Be '9'
    }

    It 'is no error when the command fails, unless that is asked for' {
        Invoke-SandboxCommand $s 'exit 3' -ErrorVariable none | ForEach-Object ExitCode | Should -Be 3
        $none | Should -BeNullOrEmpty

        $r = Invoke-SandboxCommand $s 'echo out; echo why >&2; exit 3' -ErrorOnNonZeroExit -ErrorVariable failures -ErrorAction SilentlyContinue
        $r.Stdout | Should -BeExactly "out`n"
        $failures[0].FullyQualifiedErrorId | Should -BeLike 'DoSandbox.CommandFailed,*'
        $failures[0].CategoryInfo.Category | Should -Be 'InvalidResult'
        $failures[0].Exception.Message | Should -BeLike '*exit code 3*why*'
        $failures[0].Exception.Result.ExitCode | Should -Be 3
        $failures[0].TargetObject | Should -Be $s.Id
        { Invoke-SandboxCommand $s 'exit 1' -ErrorOnNonZeroExit -ErrorAction Stop } | Should -Throw
        Invoke-SandboxCommand $s 'true' -ErrorOnNonZeroExit -ErrorAction Stop | ForEach-Object ExitCode | Should -Be 0
    }

    It 'runs with the environment and in the directory that are given' {
        (Invoke-SandboxCommand $s 'printf %s "$V"' -Environment @{ V = "it's `"x`"`n`$y" }).Stdout | Should -BeExactly "it's `"x`"`n`$y"
        (Invoke-SandboxCommand $s 'pwd' -WorkingDirectory /tmp).Stdout | Should -BeExactly "/tmp`n"
        { Invoke-SandboxCommand $s 'touch /tmp/ran' -WorkingDirectory /no/such -ErrorAction Stop } | Should -Throw -ErrorId 'DoSandbox.*'
        (Invoke-SandboxCommand $s 'test -e /tmp/ran').ExitCode | Should -Be 1
    }

    It 'ends a command and its tree at a time-out, with the output so far' {
        $marker = "5$(Get-Random -Minimum 100000000)"
        $global:LASTEXITCODE = 0
        $failure = { Invoke-SandboxCommand $s "echo before; setsid sleep $marker & sleep $marker" -TimeoutSec 0.5 -ErrorAction Stop } | Should -Throw -PassThru
        $failure.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.CommandTimedOut,*'
        $failure.CategoryInfo.Category | Should -Be 'OperationTimeout'
        $failure.Exception.Result.Stdout | Should -BeExactly "before`n"
        $failure.ErrorDetails.RecommendedAction | Should -BeLike '*-TimeoutSec*'
        $global:LASTEXITCODE | Should -Be 124
        Wait-Until { -not (Get-MarkedProcess $marker) } | Should -BeTrue
    }

    It 'leaves no exit code 0 behind: <Case>' -ForEach @(
        @{ Case = 'a sandbox that is not there'; Call = { Invoke-SandboxCommand 'no-such-sandbox' 'true' -ErrorAction SilentlyContinue } }
        @{ Case = 'no command'; Call = { try { Invoke-SandboxCommand $s -ErrorAction Stop } catch { $null = $_ } } }
        @{ Case = 'a command that does not start'; Call = { Invoke-SandboxCommand $s 'true' -WorkingDirectory /no/such -ErrorAction SilentlyContinue } }
        @{ Case = 'no sandbox from the pipeline'; Call = { Get-Sandbox 'no-such-*' | Invoke-SandboxCommand 'true' } }
        @{ Case = 'a sandbox that ended'; Call = { $gone = New-Sandbox; Remove-Sandbox $gone -Force; $gone | Invoke-SandboxCommand 'true' -ErrorAction SilentlyContinue } }
        @{ Case = 'one that works, then one that is not there'; Call = { $null = Invoke-SandboxCommand $s.Name, 'no-such-sandbox' 'true' -ErrorAction SilentlyContinue } }
    ) {
        $global:LASTEXITCODE = 0
        & $Call
        $global:LASTEXITCODE | Should -Be 1
    }

    It 'leaves the exit code alone with -WhatIf' {
        $global:LASTEXITCODE = 42
        Invoke-SandboxCommand $s 'true' -WhatIf
        $s | Invoke-SandboxCommand 'true' -WhatIf
        & { $WhatIfPreference = $true; Invoke-SandboxCommand $s 'true' }
        $global:LASTEXITCODE | Should -Be 42
    }

    It 'goes on with the next sandbox after one that fails' {
        $gone = New-Sandbox -Name (New-TestName)
        Remove-Sandbox $gone -Force
        $results = $gone, $s | Invoke-SandboxCommand 'echo still' -ErrorVariable failures -ErrorAction SilentlyContinue
        $results.Stdout | Should -Be "still`n"
        $failures.Count | Should -Be 1
    }
}

Describe '-Stream' -Skip:$skip {
    It 'writes each line with its stream' {
        $lines = Invoke-SandboxCommand $s 'echo a; echo; echo b >&2; printf c' -Stream
        ($lines | Where-Object Stream -eq Stdout).Text | Should -Be 'a', '', 'c'
        ($lines | Where-Object Stream -eq Stderr).Text | Should -Be 'b'
        $lines[0].Timestamp | Should -BeOfType DateTimeOffset
        "$($lines[0])" | Should -Be 'a'
    }

    It 'writes lines before the command ends' {
        $first = $null
        $clock = [Diagnostics.Stopwatch]::StartNew()
        Invoke-SandboxCommand $s 'echo now; sleep 30' -Stream | Select-Object -First 1 | ForEach-Object { $first = $_.Text }
        $first | Should -Be 'now'
        $clock.Elapsed.TotalSeconds | Should -BeLessThan 10
    }

    It 'reads the pipeline on while the command floods a slow reader' {
        $flooded = [Threading.ManualResetEventSlim]::new()
        $readOn = [Threading.ManualResetEventSlim]::new()
        $shell = [powershell]::Create()
        try {
            $null = $shell.AddScript('param($manifest, $name, $flooded, $readOn) Import-Module $manifest
                & { while (-not $flooded.Wait(20)) { "more" }; 1..5; $readOn.Set() } | Invoke-SandboxCommand $name "yes & cat > /dev/null" -Stream |
                    ForEach-Object { $flooded.Set(); [Threading.Thread]::Sleep(2) }')
            $null = (Get-ManifestPath), $s.Name, $flooded, $readOn | ForEach-Object { $shell.AddArgument($_) }
            $null = $shell.BeginInvoke()
            $readOn.Wait(20000) | Should -BeTrue
        }
        finally {
            $shell.Stop()
            $shell.Dispose()
        }
    }

    It 'hands on 100,000 lines in order' {
        $n = 0
        $wrong = 0
        Invoke-SandboxCommand $s 'seq 1 100000' -Stream | ForEach-Object { $n++; if ($_.Text -ne "$n") { $wrong++ } }
        $n | Should -Be 100000
        $wrong | Should -Be 0
    }
}

Describe 'Stopping' -Skip:$skip {
    It 'ends an endless command when Select-Object has enough, at once and without a rest' {
        $marker = "m$(Get-Random -Minimum 100000000)"
        $clock = [Diagnostics.Stopwatch]::StartNew()
        (Invoke-SandboxCommand $s "yes $marker" -Stream | Select-Object -First 3).Text | Should -Be $marker, $marker, $marker
        $clock.Elapsed.TotalSeconds | Should -BeLessThan 3
        Wait-Until { -not (Get-MarkedProcess $marker) } | Should -BeTrue
    }

    It 'ends within 3 seconds when the pipeline is stopped: <Case>' -ForEach @(
        @{ Case = 'waiting for a result'; Script = 'Invoke-SandboxCommand $name "sleep $marker"' }
        @{ Case = 'waiting for a line'; Script = 'Invoke-SandboxCommand $name "sleep $marker" -Stream' }
        @{ Case = 'flooded with lines'; Script = 'Invoke-SandboxCommand $name "yes; : $marker" -Stream | Out-Null' }
        @{ Case = 'behind a slow reader'; Script = 'Invoke-SandboxCommand $name "yes; : $marker" -Stream | ForEach-Object { Start-Sleep 100 }' }
        @{ Case = 'fed for ever'; Script = '& { while ($true) { "x" } } | Invoke-SandboxCommand $name "cat; : $marker" -Stream | Out-Null' }
        @{ Case = 'fed more than is read'; Script = '& { while ($true) { "x" * 100000 } } | Invoke-SandboxCommand $name "sleep $marker"' }
        @{ Case = 'ignoring signals'; Script = 'Invoke-SandboxCommand $name "trap : TERM INT HUP; while :; do sleep $marker; done"' }
    ) {
        $marker = "6$(Get-Random -Minimum 100000000)"
        $shell = [powershell]::Create()
        try {
            $null = $shell.AddScript("param(`$manifest, `$name, `$marker) Import-Module `$manifest; $Script").AddArgument((Get-ManifestPath)).AddArgument($s.Name).AddArgument($marker)
            $running = $shell.BeginInvoke()
            Wait-Until { Get-MarkedProcess $marker } 10 | Should -BeTrue
            $clock = [Diagnostics.Stopwatch]::StartNew()
            $shell.Stop()
            $clock.Elapsed.TotalSeconds | Should -BeLessThan 3
            $running.IsCompleted | Should -BeTrue
            Wait-Until { -not (Get-MarkedProcess $marker) } | Should -BeTrue
        }
        finally {
            $shell.Dispose()
        }
    }

    It 'ends within 3 seconds when the sandbox does not answer any more' {
        $hung = New-Sandbox
        $marker = "6$(Get-Random -Minimum 100000000)"
        $shell = [powershell]::Create()
        try {
            $null = $shell.AddScript('param($manifest, $name, $marker) Import-Module $manifest; Invoke-SandboxCommand $name "sleep $marker"').AddArgument((Get-ManifestPath)).AddArgument($hung.Name).AddArgument($marker)
            $running = $shell.BeginInvoke()
            Wait-Until { Get-MarkedProcess $marker } 10 | Should -BeTrue
            $agent = (Get-Process -Id @(Get-MarkedProcess $marker)[0]).Parent
            $agent.ProcessName | Should -BeLike 'dosandbox-agent*'
            & kill -STOP $agent.Id
            $clock = [Diagnostics.Stopwatch]::StartNew()
            $shell.Stop()
            $clock.Elapsed.TotalSeconds | Should -BeLessThan 3
            $running.IsCompleted | Should -BeTrue
        }
        finally {
            if ($agent) { & kill -CONT $agent.Id }
            $shell.Dispose()
            Remove-Sandbox $hung -Force
        }
    }

    It 'leaves nothing half-made when New-Sandbox is stopped' {
        $name = New-TestName
        $shell = [powershell]::Create()
        $null = $shell.AddScript('param($manifest, $name) Import-Module $manifest; New-Sandbox -Name $name').AddArgument((Get-ManifestPath)).AddArgument($name)
        $output = [System.Management.Automation.PSDataCollection[psobject]]::new()
        $none = [System.Management.Automation.PSDataCollection[psobject]]::new()
        $none.Complete()
        $null = [powershell].GetMethods().Where{ $_.Name -eq 'BeginInvoke' -and $_.IsGenericMethod -and $_.GetParameters().Count -eq 2 }[0].MakeGenericMethod([psobject], [psobject]).Invoke($shell, @($none, $output))
        $null = Wait-Until { Get-ChildItem "$env:DOSANDBOX_HOME/names" -ErrorAction Ignore | Where-Object Name -eq $name } 5
        $shell.Stop()
        $shell.Dispose()
        # It was handed over, and runs; or nothing of it is left.
        if ($output.Count -eq 0) {
            $null = Wait-Until { -not (Get-Sandbox "$name*") } 10
            Get-Sandbox "$name*" | ForEach-Object { "$($_.State): $($_.StateReason)" } | Should -BeNullOrEmpty
        }
        Get-Sandbox "$name*" | Remove-Sandbox -Force
    }

    It 'ends the command when a later cmdlet throws' {
        $marker = "7$(Get-Random -Minimum 100000000)"
        { Invoke-SandboxCommand $s "while echo $marker; do sleep 0.01; done" -Stream | ForEach-Object { throw 'enough' } } | Should -Throw 'enough'
        Wait-Until { -not (Get-MarkedProcess $marker) } | Should -BeTrue
    }
}

Describe 'Work that does not end when it is told to' {
    BeforeAll {
        $base = (Get-Command Invoke-SandboxCommand).ImplementingType.BaseType
        $folder = [IO.Path]::GetDirectoryName($base.Assembly.Location)
        $path = "$(New-WorkFolder)/Stubborn.dll"
        Add-Type -OutputAssembly $path -CompilerOptions '-nowarn:CS1701' -ReferencedAssemblies @((Get-ChildItem $folder -Filter DoSandbox.*.dll).FullName; [psobject].Assembly.Location; 'System.Threading'; 'System.Runtime'; 'netstandard') -TypeDefinition @"
            using System.Management.Automation;
            using System.Threading;
            using System.Threading.Tasks;
            [Cmdlet("Invoke", "Stubborn")]
            public sealed class InvokeStubborn : $($base.FullName)
            {
                [Parameter] public ManualResetEventSlim Started { get; set; }
                protected override void ProcessRecord() => Run(async () => { Started.Set(); await Task.Delay(20000); });
            }
"@
        $stubborn = [Runtime.Loader.AssemblyLoadContext]::GetLoadContext($base.Assembly).LoadFromAssemblyPath($path).GetType('InvokeStubborn')
    }

    It 'holds the pipeline up for 3 seconds, no longer' {
        $started = [Threading.ManualResetEventSlim]::new()
        $state = [initialsessionstate]::CreateDefault2()
        $state.Commands.Add([System.Management.Automation.Runspaces.SessionStateCmdletEntry]::new('Invoke-Stubborn', $stubborn, $null))
        $shell = [powershell]::Create($state)
        try {
            $null = $shell.AddCommand('Invoke-Stubborn').AddParameter('Started', $started)
            $running = $shell.BeginInvoke()
            $started.Wait(20000) | Should -BeTrue
            $clock = [Diagnostics.Stopwatch]::StartNew()
            $shell.Stop()
            $clock.Elapsed.TotalSeconds | Should -BeLessThan 3
            $running.IsCompleted | Should -BeTrue
        }
        finally {
            $shell.Dispose()
        }
    }
}

Describe 'Many at once' -Skip:$skip {
    It 'works from 16 runspaces in one sandbox' {
        $manifest = Get-ManifestPath
        $name = $s.Name
        $answers = 1..64 | ForEach-Object -ThrottleLimit 16 -Parallel {
            Import-Module $using:manifest
            (Invoke-SandboxCommand $using:name "echo $_").Stdout.Trim()
        }
        $answers | Sort-Object { [int]$_ } | Should -Be (1..64)
    }

    It 'makes, uses and removes sandboxes from 16 runspaces' {
        $manifest = Get-ManifestPath
        $answers = 1..16 | ForEach-Object -ThrottleLimit 16 -Parallel {
            Import-Module $using:manifest
            $mine = New-Sandbox
            try { ("in $_" | Invoke-SandboxCommand $mine 'cat').Stdout.Trim() } finally { Remove-Sandbox $mine -Force }
        }
        ($answers | Sort-Object) | Should -Be (1..16 | ForEach-Object { "in $_" } | Sort-Object)
    }
}
