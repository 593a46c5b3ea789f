BeforeDiscovery {
    Import-Module "$PSScriptRoot/Support.psm1" -Force
    Import-Module (Get-ManifestPath)
    $cmdlets = (Get-Command -Module DoSandbox).Name
}

BeforeAll {
    Import-Module "$PSScriptRoot/Support.psm1" -Force
    Import-Module (Get-ManifestPath)
    $pages = "$PSScriptRoot/../../docs/en-US"
    $common = [System.Management.Automation.Cmdlet]::CommonParameters + 'ProgressAction'
}

Describe 'Help of <_>' -ForEach $cmdlets {
    BeforeAll {
        $cmdlet = Get-Command $_
        $help = Get-Help $_ -Full
        $own = $cmdlet.Parameters.Values | Where-Object Name -NotIn $common
        $page = Get-Content "$pages/$_.md" -Raw
    }

    It 'says what it does' {
        $help.Synopsis | Should -Not -BeNullOrEmpty
        $help.Synopsis | Should -Not -BeLike "*$($cmdlet.Name)*``[*"
        $help.description.Text | Should -Not -BeNullOrEmpty
        $help.returnValues | Should -Not -BeNullOrEmpty
    }

    It 'describes every parameter, and none that is not there' {
        foreach ($parameter in $own) {
            ($help.parameters.parameter | Where-Object name -eq $parameter.Name).description.Text | Should -Not -BeNullOrEmpty -Because "-$($parameter.Name) needs a description"
        }
        $help.parameters.parameter.name | Where-Object { $_ -notin $own.Name } | Should -BeNullOrEmpty
    }

    It 'tells the truth about aliases, position and pipeline' {
        foreach ($parameter in $own) {
            $attribute = @($parameter.ParameterSets.Values)[0]
            $facts = [regex]::Match($page, "(?s)### -$($parameter.Name)\n.*?``````yaml\n(.*?)``````").Groups[1].Value
            $facts | Should -Match "Required: $($attribute.IsMandatory)" -Because $parameter.Name
            $facts | Should -Match "Position: $(if ($attribute.Position -ge 0) { $attribute.Position } else { 'Named' })" -Because $parameter.Name
            $facts | Should -Match "Accept pipeline input: $($attribute.ValueFromPipeline -or $attribute.ValueFromPipelineByPropertyName)" -Because $parameter.Name
            foreach ($alias in $parameter.Aliases) { $facts | Should -Match "Aliases:.*\b$alias\b" }
        }
    }

    It 'has examples, each with a title and code that parses' {
        @($help.examples.example).Count | Should -BeGreaterThan 0
        foreach ($example in $help.examples.example) {
            $example.title | Should -Match 'Example \d'
            $example.code | Should -Not -BeNullOrEmpty
        }
        foreach ($code in [regex]::Matches($page, '(?s)```powershell\n(.*?)```')) {
            $errors = $null
            $null = [System.Management.Automation.Language.Parser]::ParseInput($code.Groups[1].Value, [ref] $null, [ref] $errors)
            $errors | Should -BeNullOrEmpty
        }
    }
}

Describe 'Help topics' {
    It 'has one about the module' {
        Get-Help about_DoSandbox | Out-String | Should -BeLike '*sandbox*'
    }

    It 'shows examples as Get-Help -Examples does' {
        Get-Help New-Sandbox -Examples | Out-String | Should -BeLike '*New-Sandbox python -Name demo*'
    }

    It 'has a page for each cmdlet and for nothing else' {
        (Get-ChildItem $pages -Filter *-*.md).BaseName | Sort-Object | Should -Be ((Get-Command -Module DoSandbox).Name | Sort-Object)
    }
}
