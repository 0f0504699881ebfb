"""How directories of the host get into a machine: what each provider has, the best first, and why."""

from __future__ import annotations

import sys
from typing import NamedTuple

from devbox.errors import HostError
from devbox.machine.settings import MachineSettings


class Kind(NamedTuple):
    """One way, as a provider has it."""

    name: str
    why: str
    hosts: tuple[str, ...] = ("linux", "darwin", "win32")


_9P = "QEMU's own, without root, a daemon or a password; ownership and modes are those of the user's files"
_COPY = "a copy made at each start, one way: what the machine changes is lost"
_NFS = "fast with many files; Vagrant asks for root's password, to write /etc/exports"
_UNIX = ("linux", "darwin")
KINDS: dict[str, tuple[Kind, ...]] = {
    "libvirt": (
        Kind("9p", _9P, ("linux",)),
        Kind(
            "virtiofs",
            "two to three times as fast as 9p; libvirt's system mode only, and no snapshots",
            ("linux",),
        ),
        Kind("nfs", _NFS, ("linux",)),
        Kind("rsync", _COPY),
    ),
    "virtualbox": (
        Kind("virtualbox", "VirtualBox's own, nothing to set up; the box needs Guest Additions"),
        Kind("nfs", _NFS, _UNIX),
        Kind("smb", "Vagrant asks for a Windows password", ("darwin", "win32")),
        Kind("rsync", _COPY),
    ),
    "qemu": (Kind("9p", _9P, _UNIX), Kind("rsync", _COPY)),
    "vmware_desktop": (
        Kind("vmware", "VMware's own, nothing to set up"),
        Kind("nfs", _NFS, _UNIX),
        Kind("rsync", _COPY),
    ),
    "parallels": (
        Kind("parallels", "Parallels' own, nothing to set up", ("darwin",)),
        Kind("nfs", _NFS, ("darwin",)),
        Kind("rsync", _COPY),
    ),
    "hyperv": (
        Kind("smb", "the only one Hyper-V has that is no copy; Vagrant asks for a Windows password", ("win32",)),
        Kind("rsync", _COPY),
    ),
}
NAMES = tuple(dict.fromkeys(kind.name for kinds in KINDS.values() for kind in kinds))


def chosen(settings: MachineSettings, platform: str = sys.platform) -> Kind:
    """The kind that is asked for, or the best that provider and host have; HostError when there is none."""
    able = [kind for kind in KINDS[settings.provider] if platform in kind.hosts and _allowed(kind, settings)]
    wanted = settings.share_kind
    best = (kind for kind in able if kind.name == wanted or (wanted == "auto" and kind.why != _COPY))
    found = next(best, None)
    if found is None:
        has = ", ".join(kind.name for kind in able) or "named volumes only"
        as_what = "" if wanted == "auto" else f" as {wanted}"
        raise HostError(
            f"machines of the provider {settings.provider} share no directories{as_what} here",
            hint=f"they have {has}",
        )
    return found


def _allowed(kind: Kind, settings: MachineSettings) -> bool:
    """An unprivileged libvirt has only what QEMU does by itself."""
    return settings.connection != "session" or settings.provider != "libvirt" or kind.name == "9p"
