"""Device nodes of a container, and the rules that say which devices it may use."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from devbox.errors import NotFoundError
from devbox.model.container import ContainerConfig, Device, Throttle

_STANDARD = (
    ("c", 1, 3),  # null
    ("c", 1, 5),  # zero
    ("c", 1, 7),  # full
    ("c", 1, 8),  # random
    ("c", 1, 9),  # urandom
    ("c", 5, 0),  # tty
    ("c", 5, 1),  # console
    ("c", 5, 2),  # ptmx
    ("c", 136, None),  # pts/*
)
_OWN = frozenset(
    ("console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin")
) | {
    "stdout",
    "tty",
    "urandom",
    "zero",
}
"""entries of /dev that every container has of its own"""

_UNITS = {"bps": "Bps", "iops": "IOPS"}


class Node(NamedTuple):
    """A device node to make in the container."""

    path: str
    kind: str
    """"c" or "b" """
    major: int
    minor: int
    mode: int
    """permission bits"""
    uid: int
    gid: int
    permissions: str = "rwm"


def wanted(config: ContainerConfig) -> tuple[Node, ...]:
    """The nodes of --device, or of --privileged all that the host has; NotFoundError for a missing one."""
    nodes = {node.path: node for node in _all_of_host()} if config.privileged else {}
    for device in config.devices:
        nodes.update((node.path, node) for node in find(device))
    return tuple(nodes.values())


def find(device: Device) -> tuple[Node, ...]:
    """The node of one --device, or all nodes below it when it is a directory; NotFoundError when there is none."""
    try:
        status = os.stat(device.source)
    except OSError as error:
        raise NotFoundError(
            f"cannot use the device {device.source}: {os.strerror(error.errno or 0).lower()}",
            hint="ls -l /dev shows the devices of this host",
        ) from None
    if stat.S_ISDIR(status.st_mode):
        nodes = tuple(_below(device.source, device.target, device.permissions))
    else:
        nodes = tuple(_node(device.target, status, device.permissions))
    if not nodes:
        raise NotFoundError(f"{device.source} is not a device", hint="use -v for files and directories")
    return nodes


def _all_of_host() -> Iterator[Node]:
    for name in os.listdir("/dev"):
        if name not in _OWN:
            yield from _below_or_node(f"/dev/{name}", f"/dev/{name}", "rwm")


def _below(source: str, target: str, permissions: str) -> Iterator[Node]:
    for name in sorted(os.listdir(source)):
        yield from _below_or_node(f"{source}/{name}", f"{target}/{name}", permissions)


def _below_or_node(source: str, target: str, permissions: str) -> Iterator[Node]:
    try:
        status = os.lstat(source)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(status.st_mode):
        yield from _below(source, target, permissions)
    else:
        yield from _node(target, status, permissions)


def _node(target: str, status: os.stat_result, permissions: str) -> Iterator[Node]:
    kind = "c" if stat.S_ISCHR(status.st_mode) else "b" if stat.S_ISBLK(status.st_mode) else ""
    if kind:
        major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
        mode = stat.S_IMODE(status.st_mode)
        yield Node(target, kind, major, minor, mode, status.st_uid, status.st_gid, permissions)


def documents(nodes: Iterable[Node]) -> list[dict[str, Any]]:
    """`linux.devices` of the runtime spec."""
    return [
        {
            "path": node.path,
            "type": node.kind,
            "major": node.major,
            "minor": node.minor,
            "fileMode": node.mode,
            "uid": node.uid,
            "gid": node.gid,
        }
        for node in nodes
    ]


def rules(nodes: Sequence[Node], extra: Iterable[str] = (), *, privileged: bool) -> list[dict[str, Any]]:
    """`linux.resources.devices`: nothing, but making any node, the standard devices, and those asked for.

    `extra` are rules of --device-cgroup-rule.
    """
    if privileged:
        return [{"allow": True, "access": "rwm"}]
    making = [{"allow": True, "type": kind, "access": "m"} for kind in ("c", "b")]
    standard = [_rule(kind, major, minor, "rwm") for kind, major, minor in _STANDARD]
    asked = [_rule(node.kind, node.major, node.minor, node.permissions) for node in nodes]
    return [{"allow": False, "access": "rwm"}, *making, *standard, *asked, *map(_parsed_rule, extra)]


def _parsed_rule(text: str) -> dict[str, Any]:
    kind, numbers, access = text.split()
    major, _, minor = numbers.partition(":")
    rule: dict[str, Any] = {"allow": True, "type": kind, "access": access}
    return rule | {name: int(value) for name, value in (("major", major), ("minor", minor)) if value != "*"}


def throttles(wanted: Iterable[Throttle]) -> dict[str, Any]:
    """`linux.resources.blockIO`; NotFoundError for what is no block device."""
    document: dict[str, Any] = {}
    for throttle in wanted:
        number = _block_device(throttle.device)
        flow, unit = throttle.flow.split("_")
        kind = f"throttle{flow.capitalize()}{_UNITS[unit]}Device"
        limit = {"major": os.major(number), "minor": os.minor(number), "rate": throttle.rate}
        document.setdefault(kind, []).append(limit)
    return document


def _block_device(path: str) -> int:
    try:
        status = os.stat(path)
    except OSError as error:
        raise NotFoundError(
            f"cannot limit the device {path}: {os.strerror(error.errno or 0).lower()}", hint="lsblk lists them"
        ) from None
    if not stat.S_ISBLK(status.st_mode):
        raise NotFoundError(f"cannot limit {path}: it is not a block device", hint="lsblk lists them")
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    if os.path.exists(f"/sys/dev/block/{number}/partition"):
        raise NotFoundError(f"cannot limit {path}: it is a part of a disk", hint="give the whole disk: /dev/sda")
    return status.st_rdev


def _rule(kind: str, major: int, minor: int | None, access: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"allow": True, "type": kind, "major": major, "access": access}
    return rule if minor is None else {**rule, "minor": minor}
