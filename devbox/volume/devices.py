"""Volumes of the local driver whose data lies elsewhere: its options type, o and device, as mount(8) has them.

They are mounted on the volume's directory in the private mount namespace of each container that starts, never
on the host. For a directory, a disk or an NFS export that is the same as one mount for all of them.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from collections.abc import Mapping

from devbox.errors import HostError, NotFoundError, UsageError
from devbox.model.volume import Volume
from devbox.system.syscalls import (
    MS_BIND,
    MS_NOATIME,
    MS_NODEV,
    MS_NODIRATIME,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    MS_SYNCHRONOUS,
    mount,
)

_FLAGS = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "noatime": MS_NOATIME,
    "nodiratime": MS_NODIRATIME,
    "sync": MS_SYNCHRONOUS,
}
_DEFAULTS = ("rw", "suid", "dev", "exec", "async", "atime", "defaults")
_NFS = ("nfs", "nfs4")


def check(options: Mapping[str, str]) -> None:
    """Raise UsageError for options that could not be honoured when a container starts."""
    kind, device = options.get("type", ""), options.get("device", "")
    words = _words(options)
    if "\0" in "".join(options.values()):
        raise UsageError("a volume option has a NUL byte")
    if kind == "tmpfs":
        raise UsageError(
            "a volume of type tmpfs cannot be shared by containers",
            hint="give each its own: --tmpfs PATH or --mount type=tmpfs,target=PATH",
        )
    if not device:
        raise UsageError("a volume with options needs the option device", hint="such as -o device=/srv/data")
    if _is_bind(options):
        extra = [word for word in words if word not in ("bind", "rbind", *_FLAGS, *_DEFAULTS)]
        if extra:
            raise UsageError(f"invalid mount option {extra[0]!r} for a bind mount")
        if not device.startswith("/"):
            raise UsageError(f"invalid device {device!r}", hint="it is the absolute path of a directory")
    elif not kind or kind == "none":
        raise UsageError("a volume with a device needs the option type", hint="for a directory: type=none, o=bind")
    elif kind in _NFS and not any(word.startswith("addr=") for word in words):
        raise UsageError("an NFS volume needs the address of its server", hint="such as -o o=addr=192.0.2.1,rw")


def attach(volume: Volume) -> None:
    """Mount what the options name on the volume's directory, in the current (private) mount namespace.

    Raises NotFoundError for a device that does not exist, HostError when the kernel refuses.
    """
    options = volume.options
    device = options["device"]
    kind = options.get("type", "")
    if _is_bind(options) and not os.path.isdir(device):
        raise NotFoundError(f"volume {volume.name} stands for {device}, which is not a directory of this host")
    flags = 0
    data = []
    for word in _words(options):
        flags |= _FLAGS.get(word, 0)
        if word not in _FLAGS and word not in _DEFAULTS and word not in ("bind", "rbind"):
            data.append(word)
    try:
        if _is_bind(options):
            recursive = MS_REC if "rbind" in _words(options) else 0
            mount(device, volume.mountpoint, "", MS_BIND | recursive)
            if flags:
                mount("", volume.mountpoint, "", MS_REMOUNT | MS_BIND | flags)
        else:
            mount(device, volume.mountpoint, kind, flags, ",".join(data))
    except OSError as error:
        raise HostError(
            f"cannot mount {device} for volume {volume.name}: {os.strerror(error.errno or 0).lower()}",
            hint=f"'devbox volume inspect {volume.name}' shows its options",
        ) from error


def _is_bind(options: Mapping[str, str]) -> bool:
    words = _words(options)
    return options.get("type", "") == "bind" or "bind" in words or "rbind" in words


def _words(options: Mapping[str, str]) -> list[str]:
    return [word for word in options.get("o", "").split(",") if word]
