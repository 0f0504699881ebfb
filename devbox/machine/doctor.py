"""What machines need of this host, and how each of them is."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator

from devbox.errors import DevboxError, HostError
from devbox.machine import connection, inside, places, records, shared, sharekinds, shares
from devbox.machine.drivers.driver import Endpoint
from devbox.machine.places import MachinePlace
from devbox.machine.settings import MachineSettings
from devbox.model.finding import Finding, Level

_PROGRAMS = {
    "virtualbox": ("VBoxManage",),
    "libvirt": ("virsh", "qemu-img"),
    "qemu": ("qemu-img",),
    "vmware_desktop": ("vmrun",),
    "parallels": ("prlctl",),
    "hyperv": ("powershell",),
}
_PLUGINS = {
    "libvirt": "vagrant-libvirt",
    "qemu": "vagrant-qemu",
    "vmware_desktop": "vagrant-vmware-desktop",
    "parallels": "vagrant-parallels",
}
_INSTALL = {
    "linux": {
        "vagrant": "sudo apt-get install vagrant",
        "ssh": "sudo apt-get install openssh-client",
        "libvirt": "sudo apt-get install libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils",
        "vagrant-libvirt": "sudo apt-get install vagrant-libvirt",
        "qemu": "sudo apt-get install qemu-system-x86 qemu-utils",
    },
    "darwin": {
        "vagrant": "brew install hashicorp/tap/hashicorp-vagrant",
        "virtualbox": "brew install --cask virtualbox",
        "qemu": "brew install qemu",
        "parallels": "brew install --cask parallels",
        "vmware_desktop": "brew install --cask vmware-fusion",
    },
    "win32": {
        "vagrant": "winget install Hashicorp.Vagrant",
        "virtualbox": "winget install Oracle.VirtualBox",
        "ssh": "Add-WindowsCapability -Online -Name OpenSSH.Client~~~~0.0.1.0",
        "hyperv": "Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V -All",
    },
}
_VAGRANT_NEEDED = (2, 3)
_ROOM_NEEDED = 4 << 30
_CLOCK = 2.0
"""seconds by which a machine's clock may differ: more breaks make and certificates"""
_HEALTH = """
date +%s.%N
df -Pk / | awk 'NR == 2 {print $4}'
awk '/^MemAvailable/ {print $2}' /proc/meminfo
uname -r
for program in crun conmon nft s6-log python3; do command -v "$program" >/dev/null || printf '%s ' "$program"; done
"""
_QUICK = 20.0

Found = Iterator[tuple[Level, str, str]]


def findings(settings: MachineSettings) -> Iterator[Finding]:
    """Everything that was looked at for one machine."""
    place = places.machine(settings.name)
    known = records.read_endpoint(place)
    if not settings.address:
        yield from _all("machines", (*_vagrant(settings), *_provider(settings), *_host(settings)))
    topic = f"machine {settings.name}"
    yield from _all(topic, (*_box(settings), *_shares(settings, place), *_files(place, known)))
    if known is None:
        yield Finding(topic, "note", "it was never up", f"devbox machine up {settings.name}")
    else:
        yield from _all(topic, (*_guest(place, known), *_port(place, known)))


def _all(topic: str, found: tuple[tuple[Level, str, str], ...]) -> Iterator[Finding]:
    return (Finding(topic, level, text, mend) for level, text, mend in found)


def _vagrant(settings: MachineSettings) -> Found:
    if shutil.which("ssh") is None:
        yield "problem", "ssh is not installed", _install("ssh")
    if shutil.which("vagrant") is None:
        yield "problem", "vagrant is not installed", _install("vagrant")
        return
    words = _said("vagrant", "--version").split()
    version = words[-1] if words else ""
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < _VAGRANT_NEEDED:
        yield (
            "problem",
            f"Vagrant {version or 'does not say its version'}: 2.3 or newer is needed",
            _install("vagrant"),
        )
    else:
        yield "ok", f"Vagrant {version}", ""
    plugin = _PLUGINS.get(settings.provider)
    if plugin and plugin not in _said("vagrant", "plugin", "list"):
        linux = _INSTALL["linux"].get(plugin) if sys.platform == "linux" else None
        yield "problem", f"Vagrant has no plugin {plugin}", linux or f"vagrant plugin install {plugin}"


def _provider(settings: MachineSettings) -> Found:
    name = settings.provider
    missing = [program for program in _PROGRAMS[name] if shutil.which(program) is None]
    if missing:
        yield "problem", f"the provider {name} is not here: there is no {', '.join(missing)}", _install(name)
    elif name == "libvirt" and settings.connection == "system" and sys.platform == "linux":
        yield from _libvirt()
    yield from hypervisor(name, sys.platform)
    if sys.platform == "darwin" and name == "virtualbox" and os.uname().machine == "arm64":
        yield (
            "problem",
            "virtualbox does not run amd64 machines on Apple silicon",
            'provider = "qemu" in machines.toml',
        )


def hypervisor(provider: str, platform: str) -> Found:
    """On Windows one hypervisor has the processor's virtualization, and it is Hyper-V's where that is on."""
    if platform != "win32" or provider not in ("virtualbox", "hyperv"):
        return
    asked = "(Get-CimInstance Win32_ComputerSystem).HypervisorPresent"
    present = _said("powershell", "-NoProfile", "-Command", asked).strip()
    if present == "True" and provider == "virtualbox":
        yield (
            "warning",
            "Hyper-V is on and has the processor's virtualization: VirtualBox is slow, or starts nothing",
            'bcdedit /set hypervisorlaunchtype off, then restart Windows; or provider = "hyperv" in machines.toml',
        )
    elif present == "False" and provider == "hyperv":
        yield "problem", "Hyper-V is off", "bcdedit /set hypervisorlaunchtype auto, then restart Windows"


def _libvirt() -> Found:
    door = "/var/run/libvirt/libvirt-sock"
    if not os.path.exists(door):
        yield "problem", "libvirt does not run", "sudo systemctl start libvirtd"
    elif not os.access(door, os.W_OK):
        yield (
            "problem",
            "libvirt's socket is not for this user",
            "sudo usermod -aG libvirt $USER, and log in again",
        )


def _host(settings: MachineSettings) -> Found:
    if sys.platform == "linux" and settings.acceleration == "auto" and settings.provider in ("libvirt", "qemu"):
        if not os.path.exists("/dev/kvm"):
            mend = "sudo modprobe -a kvm_intel kvm_amd, or switch virtualization on in the firmware"
            yield "warning", "there is no /dev/kvm: machines are emulated, ten times as slow", mend
        elif not os.access("/dev/kvm", os.R_OK | os.W_OK):
            yield "warning", "/dev/kvm is not for this user", "sudo usermod -aG kvm $USER, and log in again"
    total = _memory()
    if total and settings.memory > total * 3 // 4:
        text = f"machine {settings.name} wants {settings.memory} MiB of this host's {total}"
        yield "problem", text, f'memory = "{total // 2}m" in machines.toml'
    cpus = os.cpu_count() or 1
    if settings.cpus > cpus:
        yield (
            "warning",
            f"machine {settings.name} wants {settings.cpus} CPUs, this host has {cpus}",
            f"cpus = {cpus}",
        )
    place = _existing(places.machines_directory())
    free = shutil.disk_usage(place).free
    if free < _ROOM_NEEDED:
        yield "problem", f"only {free >> 20} MiB are free in {place}, where the disks of machines grow", ""
    else:
        yield "ok", f"{free >> 30} GiB are free for machines", ""


def _box(settings: MachineSettings) -> Found:
    if settings.address:
        return
    if not settings.box:
        mend = 'provision/box.sh systemd DIRECTORY, then box = "DIRECTORY/metadata.json" in machines.toml'
        yield "problem", "the settings name no box", mend
    elif os.path.isabs(settings.box) and not os.path.isfile(settings.box):
        mend = f"provision/box.sh systemd {os.path.dirname(settings.box)}"
        yield "problem", f"there is no box file {settings.box}", mend


def _shares(settings: MachineSettings, place: MachinePlace) -> Found:
    if not settings.shares:
        yield "note", "it shares no directory: -v takes named volumes only", 'shares = ["~/src"] in machines.toml'
        return
    try:
        wanted = shares.plan(settings)
    except DevboxError as error:
        yield "problem", error.message, error.hint
        return
    mounted = shared.recorded(place)
    if os.path.exists(place.shares) and set(wanted) != set(mounted):
        yield "warning", "its shares are not those of the settings yet", f"devbox machine restart {settings.name}"
    for share in wanted:
        why = "" if share.kind == shared.MIRROR else f": {sharekinds.chosen(settings).why}"
        yield "ok", f"shares {share.host} as {share.guest} by {share.kind}{why}", ""


def _files(place: MachinePlace, known: Endpoint | None) -> Found:
    if os.name == "nt":  # there are no modes
        return
    private = [place.directory, *((known.key,) if known and known.key else ())]
    for path in private:
        try:
            mode = stat.S_IMODE(os.stat(path).st_mode)
        except FileNotFoundError:
            if path != place.directory:
                yield "problem", f"the private key {path} is gone", f"devbox machine destroy {place.name}"
            continue
        if mode & 0o077:
            wanted = "700" if os.path.isdir(path) else "600"
            yield "problem", f"{path} may be read by others (mode {mode:o})", f"chmod {wanted} {path}"


def _guest(place: MachinePlace, known: Endpoint) -> Found:
    if not connection.answers(known):
        yield (
            "note",
            f"it does not run: nothing answers at {known.host}:{known.port}",
            f"devbox machine up {place.name}",
        )
        return
    before = time.time()
    try:
        done = inside.run(place, known, _HEALTH, patience=_QUICK)
    except HostError as error:
        yield "problem", error.message, f"devbox machine restart {place.name}"
        return
    after = time.time()
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) < 4:
        said = inside.last_line(done.stderr)
        yield "problem", f"it does not do what it is told over ssh: {said}", f"devbox machine restart {place.name}"
        return
    yield from _health(place.name, lines, max(before - float(lines[0]), float(lines[0]) - after, 0.0))
    yield from _broker(place)


def _health(name: str, lines: list[str], clock: float) -> Found:
    free, memory = int(lines[1]) >> 10, int(lines[2]) >> 10
    yield "ok", f"it runs Linux {lines[3]}, with {memory} MiB of memory and {free} MiB of disk left", ""
    if clock > _CLOCK:
        yield "warning", f"its clock differs by {clock:.1f} s", f"devbox --machine {name} info"
    if free < 1024:
        yield "warning", f"its disk is nearly full: {free} MiB", f"devbox --machine {name} system prune -a"
    if len(lines) > 4 and lines[4].strip():
        yield (
            "problem",
            f"it lacks {lines[4].strip()}: its box is not devbox's",
            "provision/box.sh systemd DIRECTORY",
        )


def _broker(place: MachinePlace) -> Found:
    if sys.platform != "win32" and os.path.exists(place.socket):
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.settimeout(2.0)
                one.connect(place.socket)
        except OSError:
            yield "note", "its broker has ended: the next command starts one", ""
        else:
            yield "ok", "its broker answers", ""
    yield from ()


def _port(place: MachinePlace, known: Endpoint) -> Found:
    """Somebody else may have taken the port while the machine was down."""
    document = records.read_json(place.description) or {}
    port = document.get("ssh_port")
    if not isinstance(port, int) or not document.get("session") or connection.answers(known):
        return
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            text = f"another program has taken port {port} of its SSH server"
            yield "problem", text, f"ss -ltnp sport = :{port}"


def _install(what: str) -> str:
    return _INSTALL.get(sys.platform, {}).get(what, f"install {what}")


def _said(*words: str) -> str:
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _memory() -> int:
    """MiB of this host; 0 where it does not say."""
    if sys.platform != "win32":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    else:  # noqa: RET505
        return 0


def _existing(path: str) -> str:
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path
