"""Disks of machines: made larger on this host while the machine is off, and their file systems once it runs."""

from __future__ import annotations

import glob
import json
import os
import subprocess
from typing import Any

from devbox.errors import HostError, StateError
from devbox.machine import inside
from devbox.machine.drivers.driver import Endpoint
from devbox.machine.places import MachinePlace

_GROW = """
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
device=$(findmnt -nvo SOURCE /)
number=$(cat "/sys/class/block/${device##*/}/partition" 2>/dev/null) || number=
if [ "$number" ]; then
    disk=$(basename "$(realpath "/sys/class/block/${device##*/}/..")")
    echo ', +' | sfdisk -q --no-reread --force -N "$number" "/dev/$disk"
    partx -u --nr "$number" "/dev/$disk"
fi
resize2fs "$device"
"""
"""what is as large as it can be is left alone by both programs"""


def enlarge(description: dict[str, Any], directory: str) -> None:
    """Give the disk of a machine that is off the GiB of its description; Vagrant does it for other providers.

    StateError when it is larger than that: nothing is ever cut off.
    """
    if path := _file(description, directory):
        wanted = int(description["disk"]) << 30
        # -U: it is read only for its size
        found = json.loads(_said("qemu-img", "info", "-U", "--output", "json", path))["virtual-size"]
        _not_smaller(found, wanted)
        if found < wanted:
            _said("qemu-img", "resize", "-q", path, str(wanted))
    elif description["provider"] == "libvirt":
        _enlarge_volume(f"{description['prefix']}default.img", int(description["disk"]) << 30)


def _file(description: dict[str, Any], directory: str) -> str:
    """Where the disk is a file of this user; "" where it is not, or not yet."""
    path = ""
    if description["provider"] == "libvirt" and description["session"]:
        path = os.path.join(description["pool"], f"{description['prefix']}default.img")
    elif description["provider"] == "qemu":
        parts = (".vagrant", "machines", "default", "qemu", "*", "linked-box.img")
        path = next(iter(glob.glob(os.path.join(glob.escape(directory), *parts))), "")
    return path if os.path.isfile(path) else ""


def _enlarge_volume(name: str, wanted: int) -> None:
    virsh = ("virsh", "-q", "-c", "qemu:///system")
    line = (*virsh, "vol-dumpxml", "--pool", "default", name)
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        return  # it is made with its size
    found = int(done.stdout.partition("<capacity unit='bytes'>")[2].partition("<")[0])
    _not_smaller(found, wanted)
    if found < wanted:
        _said(*virsh, "vol-resize", "--pool", "default", name, str(wanted))


def _not_smaller(found: int, wanted: int) -> None:
    if found > wanted:
        raise StateError(
            f"the machine's disk has {found >> 30} GiB and cannot be made smaller",
            hint=f'write disk = "{-(-found >> 30)}g" to its settings',
        )


def _said(*line: str) -> str:
    done = subprocess.run(line, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise HostError(f"the machine's disk cannot be made larger: {inside.last_line(done.stderr)}")
    return done.stdout


def grow(place: MachinePlace, endpoint: Endpoint) -> None:
    """Let the file system of a machine fill its disk."""
    done = inside.run(place, endpoint, _GROW)
    if done.returncode:
        raise HostError(f"the file system of machine {place.name!r} did not grow: {inside.last_line(done.stderr)}")
