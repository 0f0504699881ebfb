"""What the engine needs of this Linux."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import shutil
from collections.abc import Iterator, Mapping

from devbox.cli.context import KERNEL_NEEDED
from devbox.container import cgroups
from devbox.container.spec import apparmor
from devbox.model.finding import Finding
from devbox.store.root import Root
from devbox.system import process, procfs

_PROGRAMS = {
    "crun": ("problem", "containers do not start without an OCI runtime (runc will do)"),
    "conmon": ("problem", "nothing would watch a container"),
    "nft": ("problem", "there are no networks and no published ports without it"),
    "s6-log": ("problem", "logs would not be kept"),
    "flock": ("problem", "nothing could tell who books the end of a container"),
    "ps": ("warning", "`top` does not work without it"),
    "tini": ("warning", "--init does not work without it"),
    "zstd": ("warning", "images that are compressed with it cannot be read"),
    "mmdebstrap": ("warning", "`bootstrap` does not work without it"),
}
_ROOM_NEEDED = 1 << 30
_ROOM_WISHED = 10 << 30


def findings(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Everything that was looked at."""
    for level, text, mend in (*_system(environ), *_programs(), *_cgroups(), *_network(), *_disk()):
        yield Finding("engine", level, text, mend)  # type: ignore[arg-type]


def _system(environ: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    release = os.uname().release
    if procfs.kernel() < KERNEL_NEEDED:
        yield "problem", f"the kernel {release} is too old: 5.11 is needed", "sudo apt-get dist-upgrade"
    else:
        yield "ok", f"kernel {release}", ""
    if os.geteuid() != 0:
        yield "note", "devbox runs containers as root only", "sudo devbox doctor"
    if "overlay" not in _words("/proc/filesystems"):
        yield "problem", "the kernel has no overlayfs", "sudo modprobe overlay"
    for name in ("pid", "net", "mnt", "ipc", "uts"):
        if not os.path.exists(f"/proc/self/ns/{name}"):
            yield "problem", f"the kernel has no {name} namespaces", ""
    if apparmor.kernel_has_it() and not apparmor.available():
        mend = "sudo apt-get install apparmor"
        yield "warning", "containers get no AppArmor profile: apparmor_parser is not installed", mend


def _programs() -> Iterator[tuple[str, str, str]]:
    found = {name for name in (*_PROGRAMS, "runc") if process.path_of(name)}
    missing = [name for name in _PROGRAMS if name not in found and not (name == "crun" and "runc" in found)]
    for name in missing:
        level, why = _PROGRAMS[name]
        yield level, f"{name} is not installed: {why}", f"sudo apt-get install {process.PACKAGES.get(name, name)}"
    if not missing:
        yield "ok", f"all programs are there: {', '.join(sorted(found))}", ""


def _cgroups() -> Iterator[tuple[str, str, str]]:
    host = cgroups.facts()
    missing = [name for name in ("memory", "cpu", "pids") if name not in host.controllers]
    if missing:
        yield "warning", f"containers cannot be limited in {', '.join(missing)}: no such cgroup controller", ""
    yield "ok", f"cgroup v{host.version}", ""


def _network() -> Iterator[tuple[str, str, str]]:
    if _words("/proc/sys/net/ipv4/ip_forward") != ["1"]:
        yield "note", "IPv4 forwarding is off; devbox turns it on when a network needs it", ""


def _disk() -> Iterator[tuple[str, str, str]]:
    place = Root.from_environment().state
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    free = shutil.disk_usage(place).free
    if free < _ROOM_WISHED:
        level = "problem" if free < _ROOM_NEEDED else "warning"
        yield level, f"only {free >> 20} MiB are free in {place}", "sudo devbox system prune -a"
    else:
        yield "ok", f"{free >> 30} GiB are free in {place}", ""


def _words(path: str) -> list[str]:
    try:
        with open(path) as file:
            return file.read().split()
    except OSError:
        return []
