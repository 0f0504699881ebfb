"""Directories of the host in a machine: which kind is used, how they are mounted, and what is mounted now.

Vagrant makes the device (9p) or mounts as well (the providers' own kinds). What it would paste into a shell we do
ourselves: the script below is fixed, and paths are its arguments.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence

from devbox.errors import HostError, NotFoundError, StateError
from devbox.machine import inside, records, shared, sharekinds
from devbox.machine.drivers.driver import Endpoint
from devbox.machine.places import MachinePlace
from devbox.machine.settings import MachineSettings
from devbox.machine.shared import Planned
from devbox.machine.translation import hostfiles, mountmap
from devbox.machine.translation.mountmap import Share

OURS = ("9p", "virtiofs")
"""kinds of QEMU, of which Vagrant makes the device only; the others are mounted by Vagrant"""
_WATCHED = ("linux",)
"""where we are told of changes, which a mirror needs"""
_OPTIONS = {"9p": "trans=virtio,version=9p2000.L,msize=262144,cache=mmap,access=any", "virtiofs": "defaults"}
"""cache=mmap keeps no file content but allows writable shared mappings, which cache=none refuses"""
_ALONE = """
exec 9>/run/devbox-shares.lock
flock -w 60 9
"""
"""a connection that comes back may be about to do the same"""
_MOUNT = (
    _ALONE
    + """
set -eu
kind=$1 options=$2
shift 2
for module in 9pnet_virtio "$kind"; do modprobe "$module" 2>/dev/null || true; done
while [ $# -gt 1 ]; do
    mkdir -p -- "$2"
    mountpoint -q -- "$2" || mount -t "$kind" -o "$options" -- "$1" "$2"
    shift 2
done
"""
)
_MISSING = 'for place in "$@"; do mountpoint -q -- "$place" || exit 1; done'
_UNMOUNT = (
    _ALONE
    + """
own=$(readlink /proc/self/ns/mnt)
for word in "$@"; do
    for found in $(grep -lsE -- " - (9p|virtiofs) $word " /proc/[0-9]*/mountinfo); do
        its=$(readlink "${found%/mountinfo}/ns/mnt") || continue  # it has ended, as grep itself has
        [ "$its" = "$own" ] && continue
        echo "a container has it mounted" >&2
        exit 1
    done
done
while [ $# -gt 1 ]; do
    while mountpoint -q -- "$2"; do umount -- "$2" || exit 1; done
    shift 2
done
"""
)
"""a container's mount keeps the device busy when the machine's own is gone, and then it could not come back"""


def plan(settings: MachineSettings) -> tuple[Planned, ...]:
    """What the settings ask for, links resolved, mirrors last; NotFoundError for a directory that is not there."""
    wanted = (*settings.shares, *settings.mirrors)
    if not wanted:
        return ()
    kinds = [sharekinds.chosen(settings).name] * len(settings.shares) if settings.shares else []
    kinds += [_mirrored(settings)] * len(settings.mirrors) if settings.mirrors else []
    disk = hostfiles.Disk()
    for share in wanted:
        if not os.path.isdir(share.host):
            raise NotFoundError(
                f"{share.host} cannot be shared with machine {settings.name!r}: there is no such directory",
                hint="make it, or take it out of the machine's shares",
            )
    real = [Share(disk.real(share.host), share.guest) for share in wanted]
    checked = mountmap.build(real, sys.platform).shares
    pairs = zip(checked, kinds, strict=True)
    return tuple(Planned(share.host, share.guest, kind, _tag(share.host)) for share, kind in pairs)


def _mirrored(settings: MachineSettings) -> str:
    if sys.platform not in _WATCHED:
        raise HostError(
            f"machine {settings.name!r} can have no mirrors: this system's notices of changes are not read yet",
            hint="write the directories to `shares`",
        )
    return shared.MIRROR


def mount(place: MachinePlace, endpoint: Endpoint, planned: Sequence[Planned]) -> None:
    """Mount what is not mounted yet, and remember what is."""
    ours = [share for share in planned if share.kind in OURS]
    if ours:
        words = [word for share in ours for word in (share.tag, share.guest)]
        kind = ours[0].kind  # a machine has one
        done = inside.run(place, endpoint, _MOUNT, kind, _OPTIONS[kind], *words)
        if done.returncode:
            raise HostError(
                f"the shares of machine {place.name!r} could not be mounted: {inside.last_line(done.stderr)}",
                hint=f"a share that is new needs a new start: devbox machine restart {place.name}",
            )
    documents = [share.document() for share in planned]
    records.write_json(place.shares, {"shares": documents})


def remount(place: MachinePlace, endpoint: Endpoint) -> None:
    """See that all is mounted before commands come: a machine that restarted by itself has empty directories.

    HostError when one is missing that Vagrant mounts.
    """
    recorded = shared.recorded(place)
    if not recorded:
        return
    mount(place, endpoint, recorded)
    theirs = [share.guest for share in recorded if share.kind not in (*OURS, shared.MIRROR, "rsync")]
    if theirs and inside.run(place, endpoint, _MISSING, *theirs).returncode:
        raise HostError(
            f"shares of machine {place.name!r} are not mounted in it any more",
            hint=f"devbox machine restart {place.name}",
        )


def unmount(place: MachinePlace, endpoint: Endpoint) -> None:
    """Let go of them, which QEMU needs to keep the machine's state; StateError when one is in use."""
    ours = [word for share in shared.recorded(place) if share.kind in OURS for word in (share.tag, share.guest)]
    if not ours:
        return
    done = inside.run(place, endpoint, _UNMOUNT, *ours)
    if done.returncode:
        mount(place, endpoint, shared.recorded(place))
        raise StateError(
            f"a share of machine {place.name!r} is in use: {inside.last_line(done.stderr)}",
            hint="stop the containers that use it: the state of a machine cannot be kept with it",
        )


def _tag(host: str) -> str:
    """As vagrant-libvirt names the device."""
    return hashlib.md5(host.encode(), usedforsecurity=False).hexdigest()[:31]
