BeforeDiscovery { $skip = $env:DOSANDBOX_TEST_LOCAL -ne 'yes' }

BeforeAll {
    Import-Module "$PSScriptRoot/Support.psm1" -Force
    Import-Module (Get-ManifestPath)
    if ($env:DOSANDBOX_TEST_LOCAL -eq 'yes') {
        $s = New-Sandbox -Name (New-TestName)
        $other = New-Sandbox -Name (New-TestName)
    }

    $fileType = (Get-Command Send-SandboxFile).OutputType[0].Type
    function Get-Hash($path) { (Get-FileHash -LiteralPath $path).Hash }
}

AfterAll { $s, $other | Where-Object { $_ } | Remove-Sandbox -Force }

Describe 'Send-SandboxFile' -Skip:$skip {
    BeforeEach {
        $work = New-WorkFolder
        $into = "/tmp/$(New-TestName)"
        Push-Location $work
    }
    AfterEach { Pop-Location }

    It 'sends a file by a relative path and writes what is there then' {
        [IO.File]::WriteAllBytes("$work/a.bin", [byte[]](0..255))
        $file = Send-SandboxFile $s ./a.bin "$into/"
        $file | Should -BeOfType $fileType
        $file.FullName | Should -BeExactly "$into/a.bin"
        $file.Name | Should -BeExactly 'a.bin'
        $file.Size | Should -Be 256
        $file.Type | Should -Be 'File'
        $file.SandboxId | Should -Be $s.Id
        [Convert]::ToHexString((Invoke-SandboxCommand $s "cat $into/a.bin").StdoutBytes) | Should -Be ([Convert]::ToHexString([byte[]](0..255)))
    }

    It 'sends under another name, and keeps permissions' {
        '#!/bin/sh' > "$work/run"
        [IO.File]::SetUnixFileMode("$work/run", [Convert]::ToInt32('750', 8))
        (Send-SandboxFile $s run "$into/other").FullName | Should -BeExactly "$into/other"
        (Invoke-SandboxCommand $s "stat -c %a $into/other").Stdout.Trim() | Should -Be '750'
    }

    It 'sends from a drive of PowerShell and from TestDrive' {
        $null = New-PSDrive -Name Work -PSProvider FileSystem -Root $work
        'x' > "$work/d.txt"
        (Send-SandboxFile $s Work:/d.txt "$into/").Name | Should -Be 'd.txt'
        Remove-PSDrive Work
    }

    It 'refuses a path that is not of the file system' {
        $failure = { Send-SandboxFile $s Env:PATH /tmp/ -ErrorAction Stop } | Should -Throw -PassThru
        $failure.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.InvalidArgument,*'
    }

    It 'sends by wildcards' {
        'a.py', 'b.py', 'c.txt' | ForEach-Object { $_ > "$work/$_" }
        (Send-SandboxFile $s *.py "$into/").Name | Sort-Object | Should -Be 'a.py', 'b.py'
        { Send-SandboxFile $s *.none "$into/" -ErrorAction Stop } | Should -Throw -ErrorId 'DoSandbox.FileNotFound*'
    }

    It 'takes files from the pipeline' {
        'a.py', 'b.py' | ForEach-Object { $_ > "$work/$_" }
        (Get-ChildItem *.py | Send-SandboxFile $s "$into/").Name | Should -Be 'a.py', 'b.py'
        (Get-ChildItem *.py | Send-SandboxFile $s.Name "$into/" -Force).Name | Should -Be 'a.py', 'b.py'
        (Get-ChildItem *.py | Send-SandboxFile -Sandbox $s -Destination "$into/" -Force).Count | Should -Be 2
        ('./a.py' | Send-SandboxFile -Sandbox $s -Destination "$into/" -Force).Name | Should -Be 'a.py'
    }

    It 'takes sandboxes from the pipeline' {
        'x' > "$work/x.txt"
        ($s, $other | Send-SandboxFile ./x.txt "$into/").SandboxId | Should -Be $s.Id, $other.Id
        ($s | Send-SandboxFile -Path ./x.txt -Destination "$into/" -Force).SandboxId | Should -Be $s.Id
    }

    It 'sends a directory whole' {
        $null = New-Item -ItemType Directory "$work/tree/deep/empty"
        'one' > "$work/tree/one.txt"
        'two' > "$work/tree/deep/two.txt"
        $sent = Send-SandboxFile $s tree "$into/"
        $sent.FullName | Should -BeExactly "$into/tree"
        $sent.Type | Should -Be 'Directory'
        (Invoke-SandboxCommand $s "cd $into && find tree | sort" -Stream).Text | Should -Be 'tree', 'tree/deep', 'tree/deep/empty', 'tree/deep/two.txt', 'tree/one.txt'
        (Send-SandboxFile $s tree "$into/" -Force -PassThru).FullName | Should -Contain "$into/tree/deep/two.txt"
    }

    It 'sends the odd name <Name>' -ForEach @(
        @{ Name = 'with space' }, @{ Name = "it's" }, @{ Name = 'do"uble' }, @{ Name = '-rf' }, @{ Name = 'a[1]*?.txt' }, @{ Name = "new`nline" }
        @{ Name = 'back`tick' }, @{ Name = '$HOME' }, @{ Name = 'ünï €' }, @{ Name = '.hidden' }, @{ Name = 'x' * 255 }
    ) {
        [IO.File]::WriteAllText("$work/$Name", "content of $Name")
        $file = Send-SandboxFile $s -LiteralPath "./$Name" -Destination "$into/"
        $file.FullName | Should -BeExactly "$into/$Name"
        $back = Get-SandboxFile $s -LiteralPath $file.FullName -Destination "$work/back/"
        $back.Name | Should -BeExactly $Name
        [IO.File]::ReadAllText($back.FullName) | Should -BeExactly "content of $Name"
    }

    It 'overwrites only with -Force' {
        'old' > "$work/f.txt"
        $null = Send-SandboxFile $s f.txt "$into/"
        'new' > "$work/f.txt"
        $failure = { Send-SandboxFile $s f.txt "$into/" -ErrorAction Stop } | Should -Throw -PassThru
        $failure.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.FileExists,*'
        $failure.CategoryInfo.Category | Should -Be 'ResourceExists'
        (Invoke-SandboxCommand $s "cat $into/f.txt").Stdout | Should -BeExactly "old`n"
        $null = Send-SandboxFile $s f.txt "$into/" -Force
        (Invoke-SandboxCommand $s "cat $into/f.txt").Stdout | Should -BeExactly "new`n"
    }

    It 'goes on with the next file after one that fails' {
        'a', 'b' | ForEach-Object { $_ > "$work/$_" }
        $null = Send-SandboxFile $s a "$into/"
        $sent = Send-SandboxFile $s a, b "$into/" -ErrorVariable failures -ErrorAction SilentlyContinue
        $sent.Name | Should -Be 'b'
        $failures.Count | Should -Be 1
    }

    It 'refuses <Case>' -ForEach @(
        @{ Case = 'no destination'; Call = { Send-SandboxFile $s ./x -ErrorAction Stop } }
        @{ Case = 'no path'; Call = { Send-SandboxFile $s -Destination /tmp/ -ErrorAction Stop } }
        @{ Case = 'no sandbox'; Call = { Send-SandboxFile -Path ./x -Destination /tmp/ -ErrorAction Stop } }
        @{ Case = 'a relative destination'; Call = { Send-SandboxFile $s ./x app/ -ErrorAction Stop } }
        @{ Case = 'a number from the pipeline'; Call = { 1 | Send-SandboxFile $s /tmp/ -ErrorAction Stop } }
        @{ Case = 'a file of this machine as the sandbox'; Call = { Send-SandboxFile (Get-Item x) x /tmp/ -ErrorAction Stop } }
        @{ Case = 'sandboxes both ways'; Call = { $s | Send-SandboxFile $other x /tmp/ -ErrorAction Stop } }
    ) {
        'x' > "$work/x"
        $failure = $Call | Should -Throw -PassThru
        $failure.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.InvalidArgument,*'
    }

    It 'takes a destination that is not there as a directory where several sources go: <Case>' -ForEach @(
        @{ Case = 'a pattern'; Call = { Send-SandboxFile $s *.txt "$into/src" -Force } }
        @{ Case = 'a list'; Call = { Send-SandboxFile $s a.txt, b.txt, c.txt "$into/src" -Force } }
        @{ Case = 'literal paths'; Call = { Send-SandboxFile $s -LiteralPath a.txt, b.txt, c.txt -Destination "$into/src" -Force } }
        @{ Case = 'a pattern behind a sandbox'; Call = { $s | Send-SandboxFile *.txt "$into/src" -Force } }
    ) {
        'a', 'b', 'c' | ForEach-Object { $_ > "$work/$_.txt" }
        (& $Call).FullName | Should -Be "$into/src/a.txt", "$into/src/b.txt", "$into/src/c.txt"
        (Invoke-SandboxCommand $s "cd $into/src && cat a.txt b.txt c.txt").Stdout | Should -BeExactly "a`nb`nc`n"
    }

    It 'takes it as a directory for a pattern that finds one file too, and refuses what is a file there' {
        'a' > "$work/a.txt"
        (Send-SandboxFile $s *.txt "$into/one").FullName | Should -BeExactly "$into/one/a.txt"
        { Send-SandboxFile $s *.txt "$into/one/a.txt" -Force -ErrorAction Stop } | Should -Throw -ErrorId 'DoSandbox.NotADirectory*'
        (Invoke-SandboxCommand $s "cat $into/one/a.txt").Stdout | Should -BeExactly "a`n"
    }

    It 'sends one file to several sandboxes under the name that is given' {
        'a' > "$work/a.txt"
        $sent = Send-SandboxFile $s, $other a.txt "$into/name"
        $sent.FullName | Should -Be "$into/name", "$into/name"
        $sent.SandboxId | Should -Be $s.Id, $other.Id
    }

    It 'never overwrites what the same call has sent: <Case>' -ForEach @(
        @{ Case = 'piped files'; Call = { Get-ChildItem *.txt | Send-SandboxFile $s "$into/src" -Force -ErrorVariable failures -ErrorAction SilentlyContinue; $failures }; Keeps = 'src' }
        @{ Case = 'piped paths'; Call = { 'a.txt', './b.txt', 'c.txt' | Send-SandboxFile $s "$into/src" -Force -ErrorVariable failures -ErrorAction SilentlyContinue; $failures }; Keeps = 'src' }
        @{ Case = 'files of one name'; Call = { Send-SandboxFile $s a.txt, x/a.txt, y/a.txt "$into/" -Force -ErrorVariable failures -ErrorAction SilentlyContinue; $failures }; Keeps = 'a.txt' }
        @{ Case = 'piped files of one name'; Call = { Get-Item a.txt, x/a.txt, y/a.txt | Send-SandboxFile $s "$into/" -Force -ErrorVariable failures -ErrorAction SilentlyContinue; $failures }; Keeps = 'a.txt' }
        @{ Case = 'directories, the second into the first'; Call = { Get-Item a.txt, x, y | Where-Object PSIsContainer | Send-SandboxFile $s "$into/src" -Force -ErrorVariable failures -ErrorAction SilentlyContinue; $failures; $failures[0] }; Keeps = 'src/a.txt'; Content = 'x' }
    ) {
        'a', 'b', 'c' | ForEach-Object { $_ > "$work/$_.txt" }
        $null = New-Item -ItemType Directory "$work/x", "$work/y"
        'x', 'y' | ForEach-Object { $_ > "$work/$_/a.txt" }
        $null, $failures = & $Call
        $failures.FullyQualifiedErrorId | Should -Be ('DoSandbox.FileExists,DoSandbox.PowerShell.Commands.SendSandboxFileCommand', 'DoSandbox.FileExists,DoSandbox.PowerShell.Commands.SendSandboxFileCommand')
        (Invoke-SandboxCommand $s "cat $into/$Keeps").Stdout | Should -BeExactly "$($Content ?? 'a')`n"
    }

    It 'takes several files by position behind a sandbox: <Case>' -ForEach @(
        @{ Case = 'paths'; Call = { $s | Send-SandboxFile a.txt, b.txt "$into/" } }
        @{ Case = 'paths, destination by name'; Call = { $s | Send-SandboxFile a.txt, b.txt -Destination "$into/" } }
        @{ Case = 'files'; Call = { $s | Send-SandboxFile (Get-ChildItem *.txt) "$into/" } }
        @{ Case = 'files, destination by name'; Call = { $s | Send-SandboxFile (Get-ChildItem *.txt) -Destination "$into/" } }
        @{ Case = 'a path and a file'; Call = { $s | Send-SandboxFile a.txt, (Get-Item b.txt) "$into/" } }
    ) {
        'a', 'b' | ForEach-Object { $_ > "$work/$_.txt" }
        (& $Call).FullName | Should -Be "$into/a.txt", "$into/b.txt"
    }

    It 'sends a file object by its exact name' {
        [IO.File]::WriteAllText("$work/back\slash", 'backslash')
        $file = [IO.FileInfo]::new("$work/back\slash")
        ($file | Send-SandboxFile $s "$into/").FullName | Should -BeExactly "$into/back\slash"
        ($s | Send-SandboxFile $file "$into/" -Force).FullName | Should -BeExactly "$into/back\slash"
        (Invoke-SandboxCommand $s "cat '$into/back\slash'").Stdout | Should -BeExactly 'backslash'
    }

    It 'goes on after a path that is not there: <Case>' -ForEach @(
        @{ Case = 'piped'; Call = { 'a.txt', 'missing.txt', 'b.txt' | Send-SandboxFile $s "$into/" -ErrorVariable failures -ErrorAction SilentlyContinue; $failures } }
        @{ Case = 'listed'; Call = { Send-SandboxFile $s a.txt, missing.txt, b.txt "$into/" -ErrorVariable failures -ErrorAction SilentlyContinue; $failures } }
        @{ Case = 'literal'; Call = { Send-SandboxFile $s -LiteralPath a.txt, missing.txt, b.txt -Destination "$into/" -ErrorVariable failures -ErrorAction SilentlyContinue; $failures } }
        @{ Case = 'deleted'; Call = { (Get-Item a.txt, gone.txt, b.txt) | ForEach-Object { Remove-Item gone.txt -ErrorAction Ignore; $_ } | Send-SandboxFile $s "$into/" -ErrorVariable failures -ErrorAction SilentlyContinue; $failures } }
    ) {
        'a', 'b', 'gone' | ForEach-Object { $_ > "$work/$_.txt" }
        $all = & $Call
        ($all | Where-Object { $_ -is $fileType }).Name | Should -Be 'a.txt', 'b.txt'
        ($all | Where-Object { $_ -is [System.Management.Automation.ErrorRecord] }).FullyQualifiedErrorId | Should -BeLike 'DoSandbox.FileNotFound,*'
    }

    It 'sends nothing with -WhatIf' {
        'x' > "$work/x"
        Send-SandboxFile $s x "$into/" -WhatIf | Should -BeNullOrEmpty
        (Invoke-SandboxCommand $s "test -e $into").ExitCode | Should -Be 1
    }
}

Describe 'Get-SandboxFile' -Skip:$skip {
    BeforeAll {
        $from = "/tmp/$(New-TestName)"
        $null = Invoke-SandboxCommand $s "mkdir -p $from/tree/deep/empty; cd $from; printf 'a\000\377' > a.csv; echo b > b.csv; echo .h > .h.csv; echo c > 'c[1].csv'; chmod 751 b.csv; echo two > tree/deep/two.txt; echo hi > tree/hi"
    }
    BeforeEach {
        $work = New-WorkFolder
        Push-Location $work
    }
    AfterEach { Pop-Location }

    It 'fetches into the current directory when nothing is said' {
        $file = Get-SandboxFile $s "$from/a.csv"
        $file | Should -BeOfType IO.FileInfo
        $file.FullName | Should -BeExactly "$work/a.csv"
        [Convert]::ToHexString([IO.File]::ReadAllBytes($file.FullName)) | Should -Be '6100FF'
    }

    It 'fetches into a directory, and under a name, and keeps permissions' {
        (Get-SandboxFile $s "$from/b.csv" ./results/).FullName | Should -BeExactly "$work/results/b.csv"
        (Get-SandboxFile $s "$from/b.csv" ./results/other).FullName | Should -BeExactly "$work/results/other"
        [Convert]::ToString([int][IO.File]::GetUnixFileMode("$work/results/b.csv"), 8) | Should -Be '751'
    }

    It 'fetches by wildcards, and by a literal path' {
        (Get-SandboxFile $s "$from/*.csv").Name | Sort-Object | Should -Be 'a.csv', 'b.csv', 'c[1].csv'
        (Get-SandboxFile $s "$from/?.csv" ./two/).Name | Sort-Object | Should -Be 'a.csv', 'b.csv'
        (Get-SandboxFile $s -LiteralPath "$from/c[1].csv" -Destination ./three/).Name | Should -BeExactly 'c[1].csv'
        { Get-SandboxFile $s "$from/*.none" -ErrorAction Stop } | Should -Throw -ErrorId 'DoSandbox.FileNotFound*'
        { Get-SandboxFile $s "$from/none" -ErrorAction Stop } | Should -Throw -ErrorId 'DoSandbox.FileNotFound*'
    }

    It 'fetches a directory whole' {
        $directory = Get-SandboxFile $s "$from/tree" ./got/
        $directory | Should -BeOfType IO.DirectoryInfo
        $directory.FullName | Should -BeExactly "$work/got/tree"
        Get-Content "$work/got/tree/deep/two.txt" | Should -Be 'two'
        "$work/got/tree/deep/empty" | Should -Exist
        $all = Get-SandboxFile $s "$from/tree" ./got/ -Force -PassThru
        $all.FullName | Should -Contain "$work/got/tree/deep/two.txt"
    }

    It 'takes sandboxes from the pipeline, and paths' {
        ($s | Get-SandboxFile "$from/a.csv" ./p/).FullName | Should -BeExactly "$work/p/a.csv"
        ($s | Get-SandboxFile "$from/b.csv").FullName | Should -BeExactly "$work/b.csv"
        ("$from/a.csv", "$from/b.csv" | Get-SandboxFile -Sandbox $s -Destination ./q/).Name | Should -Be 'a.csv', 'b.csv'
    }

    It 'fetches what Send-SandboxFile wrote' {
        [IO.File]::WriteAllText("$work/trip[1].txt", 'round')
        $back = Send-SandboxFile $s -LiteralPath 'trip[1].txt' -Destination "$from/" | Get-SandboxFile -Destination ./r/
        $back.FullName | Should -BeExactly "$work/r/trip[1].txt"
        Get-Content -LiteralPath $back.FullName | Should -Be 'round'
        (Send-SandboxFile $s -LiteralPath 'trip[1].txt' -Destination "$from/" -Force | Get-SandboxFile ./r2/).FullName | Should -BeExactly "$work/r2/trip[1].txt"
    }

    It 'overwrites only with -Force' {
        'mine' > "$work/b.csv"
        $failure = { Get-SandboxFile $s "$from/b.csv" -ErrorAction Stop } | Should -Throw -PassThru
        $failure.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.FileExists,*'
        Get-Content "$work/b.csv" | Should -Be 'mine'
        Get-SandboxFile $s "$from/b.csv" -Force | Get-Content | Should -Be 'b'
    }

    It 'takes a destination that is not there as a directory where several files come: <Case>' -ForEach @(
        @{ Case = 'a pattern'; Call = { Get-SandboxFile $s "$from/sent/*" ./results -Force } }
        @{ Case = 'a list'; Call = { Get-SandboxFile $s "$from/sent/a", "$from/sent/b" ./results -Force } }
        @{ Case = 'literal paths'; Call = { Get-SandboxFile $s -LiteralPath "$from/sent/a", "$from/sent/b" -Destination ./results -Force } }
        @{ Case = 'a list behind a sandbox'; Call = { $s | Get-SandboxFile "$from/sent/a", "$from/sent/b" ./results -Force } }
        @{ Case = 'files behind a sandbox'; Call = { $s | Get-SandboxFile $sent ./results -Force } }
    ) {
        'a', 'b' | ForEach-Object { $_ > "$work/$_" }
        $sent = Send-SandboxFile $s a, b "$from/sent/" -Force
        (& $Call).FullName | Should -Be "$work/results/a", "$work/results/b"
        Get-Content "$work/results/a" | Should -Be 'a'
        Get-Content "$work/results/b" | Should -Be 'b'
    }

    It 'takes it as a directory for a pattern that finds one file too' {
        (Get-SandboxFile $s "$from/b.*" ./results).FullName | Should -BeExactly "$work/results/b.csv"
    }

    It 'never overwrites what the same call has fetched: <Case>' -ForEach @(
        @{ Case = 'piped paths'; Call = { "$from/b.csv", "$from/a.csv", "$from/tree/hi" | Get-SandboxFile $s ./results -Force -ErrorVariable failures -ErrorAction SilentlyContinue; $failures }; Keeps = 'results'; Refused = 2 }
        @{ Case = 'several sandboxes'; Call = { Get-SandboxFile $s, $other "$from/b.csv" ./results -Force -ErrorVariable failures -ErrorAction SilentlyContinue; $failures }; Keeps = 'results/b.csv'; Refused = 1 }
        @{ Case = 'piped sandboxes'; Call = { $s, $other | Get-SandboxFile "$from/b.csv" ./results -Force -ErrorVariable failures -ErrorAction SilentlyContinue; $failures }; Keeps = 'results'; Refused = 1 }
        @{ Case = 'files of one name'; Call = { Get-SandboxFile $s "$from/b.csv", "$from/same/b.csv" ./results/ -Force -ErrorVariable failures -ErrorAction SilentlyContinue; $failures }; Keeps = 'results/b.csv'; Refused = 1 }
        @{ Case = 'files of one name, by a pattern'; Call = { Get-SandboxFile $s "$from/b.csv", "$from/same/*" -Force -ErrorVariable failures -ErrorAction SilentlyContinue; $failures }; Keeps = 'b.csv'; Refused = 1 }
    ) {
        $null = $s, $other | Invoke-SandboxCommand "mkdir -p $from/same; echo same > $from/same/b.csv"
        $null = Invoke-SandboxCommand $other "echo other > $from/b.csv"
        $null, $failures = & $Call
        @($failures).Count | Should -Be $Refused
        $failures.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.FileExists,*'
        Get-Content "$work/$Keeps" | Should -Be 'b'
    }

    It 'fetches a file with a backslash in its name' {
        $null = Invoke-SandboxCommand $s "echo odd > '$from/back\slash'"
        $file = Get-SandboxFile $s "$from/back\slash" ./odd/ -ErrorAction Stop
        $file | Should -BeOfType IO.FileInfo
        $file.FullName | Should -BeExactly "$work/odd/back\slash"
        $file.PSPath | Should -BeLike '*FileSystem::*'
        [IO.File]::ReadAllText($file.FullName) | Should -BeExactly "odd`n"
    }

    It 'goes on after a path that is not there' {
        ("$from/a.csv", "$from/none", "$from/b.csv" | Get-SandboxFile $s ./go/ -ErrorVariable failures -ErrorAction SilentlyContinue).Name | Should -Be 'a.csv', 'b.csv'
        (Get-SandboxFile $s "$from/a.csv", "$from/none", "$from/b.csv" ./go2/ -ErrorVariable +failures -ErrorAction SilentlyContinue).Name | Should -Be 'a.csv', 'b.csv'
        $failures.Count | Should -Be 2
        $failures.FullyQualifiedErrorId | Should -BeLike 'DoSandbox.FileNotFound,*'
    }

    It 'fetches nothing with -WhatIf' {
        Get-SandboxFile $s "$from/a.csv" -WhatIf | Should -BeNullOrEmpty
        Get-ChildItem $work | Should -BeNullOrEmpty
    }

    It 'brings 20 MB there and back unchanged' {
        $bytes = [byte[]]::new(20MB)
        [Random]::new(1).NextBytes($bytes)
        [IO.File]::WriteAllBytes("$work/big", $bytes)
        $null = Send-SandboxFile $s big "$from/"
        (Invoke-SandboxCommand $s "sha256sum < $from/big").Stdout.Split(' ')[0] | Should -Be (Get-Hash "$work/big")
        Get-Hash (Get-SandboxFile $s "$from/big" ./back/).FullName | Should -Be (Get-Hash "$work/big")
    }
}

Describe 'A file of a sandbox in a cmdlet for files of this machine' -Skip:$skip {
    BeforeAll {
        # The same path exists on both sides: the host's file is what must not be touched.
        $name = New-TestName
        $work = New-WorkFolder
        $hostFile = "/tmp/$name"
        'of the host' > $hostFile
        'of the sandbox' > "$work/$name"
        Push-Location $work
        $file = Send-SandboxFile $s "$work/$name" /tmp/
        $file.FullName | Should -BeExactly $hostFile
    }
    AfterAll {
        Pop-Location
        Remove-Item -LiteralPath $hostFile
    }

    It 'is not touched by <_>' -ForEach 'Remove-Item', 'Get-Content', 'Get-Item', 'Clear-Content', 'Copy-Item -Destination ./copied', 'Move-Item -Destination ./moved',
    'Rename-Item -NewName renamed', 'Get-ChildItem', 'Set-ItemProperty -Name IsReadOnly -Value $true', 'Import-Csv', 'Select-String -Pattern host', 'Get-FileHash', 'Invoke-Item', 'Resolve-Path' {
        $output = & ([scriptblock]::Create("param(`$file) try { `$file | $_ -ErrorAction SilentlyContinue } catch { `"`$_`" }")) $file 2>&1 3>$null
        "$output" | Should -Not -BeLike '*of the host*'
        Get-Content -LiteralPath $hostFile | Should -Be 'of the host'
        Get-Content -LiteralPath "$work/$name" | Should -Be 'of the sandbox'
        (Get-ChildItem $work).Count | Should -Be 1
    }

    It 'is not touched when it is an argument' {
        Remove-Item $file -ErrorAction SilentlyContinue
        Remove-Item -LiteralPath $file -ErrorAction SilentlyContinue
        Get-Content $file -ErrorAction SilentlyContinue | Should -BeNullOrEmpty
        Get-Content -LiteralPath $hostFile | Should -Be 'of the host'
    }

    It 'has no property that a path parameter would bind' {
        $file.PSObject.Properties.Name | Should -Not -Contain 'Path'
        $file.PSObject.Properties.Name | Should -Not -Contain 'LiteralPath'
        $file.PSObject.Properties.Name | Should -Not -Contain 'PSPath'
        "$file" | Should -BeLike 'Sandbox:/*'
    }
}
