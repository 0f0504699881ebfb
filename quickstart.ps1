<#
.SYNOPSIS
From a fresh Windows 10 or 11 to a running demo: installs what is missing, makes a virtual machine, runs `devbox demo` in it.

.DESCRIPTION
What is missing (Python, Vagrant, VirtualBox) is installed by winget, after asking. devbox goes into
%LOCALAPPDATA%\devbox\venv. A box file is needed: -Box FILE or an address; `provision/box.sh systemd DIRECTORY` builds
one on Debian. Everything may be run again: what is there already is left alone. It was never run on Windows.

.EXAMPLE
powershell -ExecutionPolicy Bypass -File quickstart.ps1 -Box C:\boxes\metadata.json
#>
param(
    [Parameter(Mandatory = $true)] [string] $Box
)
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
if (Test-Path $Box) { $Box = (Resolve-Path $Box).Path }
$venv = Join-Path $env:LOCALAPPDATA 'devbox\venv'
$devbox = Join-Path $venv 'Scripts\devbox.exe'
$python = Join-Path $venv 'Scripts\python.exe'

function Invoke-Checked([string] $Program, [string[]] $Words) {
    & $Program @Words
    if ($LASTEXITCODE -ne 0) { throw "$Program $Words failed with exit code $LASTEXITCODE" }
}

function Update-Path {
    $env:Path = @('Machine', 'User' | ForEach-Object { [Environment]::GetEnvironmentVariable('Path', $_) }) -join ';'
}

function Install-Missing([string] $Program, [string] $Package) {
    if (Get-Command $Program -ErrorAction SilentlyContinue) { return }
    if (-not (Get-Command winget -ErrorAction SilentlyContinue)) {
        throw "winget is missing: install 'App Installer' from the Microsoft Store"
    }
    $answer = Read-Host "$Program is missing and would be installed by: winget install $Package. Go on? [y/N]"
    if ($answer -notmatch '^(y|yes)$') { throw 'nothing was installed' }
    Invoke-Checked 'winget' @('install', '--exact', '--id', $Package, '--accept-package-agreements', '--accept-source-agreements')
    Update-Path
}

Write-Output '== what is missing'
Install-Missing 'py' 'Python.Python.3.12'
Install-Missing 'vagrant' 'Hashicorp.Vagrant'
if (-not (Test-Path (Join-Path $env:ProgramFiles 'Oracle\VirtualBox\VBoxManage.exe'))) {
    Install-Missing 'VBoxManage' 'Oracle.VirtualBox'
}

Write-Output "== devbox in $venv"
if (-not (Test-Path $python)) { Invoke-Checked 'py' @('-3', '-m', 'venv', $venv) }
Invoke-Checked $python @('-m', 'pip', '--quiet', 'install', $PSScriptRoot)

Write-Output '== settings'
$file = & $python -c 'from devbox.machine import places; print(places.settings_file())'
if (-not (Test-Path $file)) {
    New-Item -ItemType Directory -Force (Split-Path $file), (Join-Path $HOME 'devbox') | Out-Null
    # literal strings of TOML, where a backslash is one
    $lines = '[machines.default]', 'provider = "virtualbox"', "box = '$Box'", 'shares = ["~/devbox"]'
    [IO.File]::WriteAllLines($file, $lines)
    Write-Output "wrote $file"
}

Write-Output '== machine'
Invoke-Checked $devbox @('machine', 'up')
Write-Output '== demo'
Invoke-Checked $devbox @('demo')
Write-Output ''
Write-Output "devbox is ready: $devbox bootstrap debian:bookworm, then $devbox run --rm -it debian:bookworm bash"
