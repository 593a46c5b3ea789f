#!/usr/bin/env bash
# Every task of this repository for a shell without PowerShell: ./build.sh help
# Hands over to build.ps1 where PowerShell is; else runs the .NET part itself and says what it left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1 MSBUILDDISABLENODEREUSE=1 DOTNET_CLI_USE_MSBUILD_SERVER=0
# Neither dotnet nor NuGet starts without a home, and some CI systems give none.
if [ -z "${HOME:-}" ]; then
    HOME="$(getent passwd "$(id -u)" | cut -d: -f6)"
    export HOME
fi

task="${1:-build}"
task="$(printf '%s' "$task" | tr '[:upper:]' '[:lower:]')"
if [ $# -gt 0 ]; then shift; fi

if ! command -v dotnet >/dev/null || ! dotnet --list-sdks 2>/dev/null | grep -q '^\(1[0-9]\|[2-9][0-9]\)\.'; then
    echo "build: the .NET SDK 10 is missing; how to get it: https://dotnet.microsoft.com/download/dotnet/10.0" >&2
    if [ "$task" = test ]; then echo "0 passed, 1 failed, 0 skipped"; fi
    exit 1
fi

pwsh="${DOSANDBOX_PWSH:-pwsh}"
if [ "$pwsh" != none ] && command -v "$pwsh" >/dev/null &&
    "$pwsh" -NoProfile -NonInteractive -Command "exit [int](\$PSVersionTable.PSVersion -lt [version]'7.4')" </dev/null; then
    exec "$pwsh" -NoProfile -NonInteractive -File ./build.ps1 "$task" "$@"
fi

program=out/build/DoSandbox.Build.dll
if [ ! -f "$program" ] || [ -n "$(find build Directory.Build.props Directory.Packages.props \( -name '*.cs' -o -name '*.csproj' -o -name '*.props' \) -not -path '*/obj/*' -newer "$program" -print -quit)" ]; then
    if ! log="$(dotnet build build/DoSandbox.Build.csproj -c Release -o out/build -v q -nologo </dev/null 2>&1)"; then
        printf '%s\n' "$log" >&2
        if [ "$task" = test ]; then echo "0 passed, 1 failed, 0 skipped"; fi
        exit 1
    fi
    touch "$program"
fi

# So that this program need not look for it again.
DOSANDBOX_PWSH=none exec dotnet "$program" "$task" "$@"
