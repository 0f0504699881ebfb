"""Capabilities of a container: docker's fourteen, what flags add and drop, cut to what this process may give."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.errors import HostError
from devbox.model.confinement_parse import CAPABILITIES
from devbox.model.container import ContainerConfig

DEFAULT = (
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
)


def granted(config: ContainerConfig, bounding: frozenset[str]) -> tuple[str, ...]:
    """The container's capabilities as "CAP_X", sorted; those outside `bounding` are left out."""
    return tuple(f"CAP_{name}" for name in sorted(_wanted(config) & bounding))


def check(config: ContainerConfig, bounding: frozenset[str]) -> None:
    """Raise HostError for a capability that was asked for by name and cannot be given."""
    missing = sorted(set(config.cap_add) - bounding - {"ALL"})
    if missing:
        raise HostError(
            f"the capability {missing[0]} cannot be given: this process does not have it",
            hint="run devbox on a host, or in a container, whose root has it",
        )


def _wanted(config: ContainerConfig) -> set[str]:
    add, drop = set(config.cap_add), set(config.cap_drop)
    if config.privileged:
        return set(CAPABILITIES)
    if "ALL" in add:
        return set(CAPABILITIES) - drop
    base = set() if "ALL" in drop else set(DEFAULT) - drop
    return base | (add - {"ALL"})


def bounding_set() -> frozenset[str]:
    """What this process can give to another: the names in its bounding set."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"CapBnd:"):
                bits = int(line.split()[1], 16)
                return frozenset(name for bit, name in enumerate(CAPABILITIES) if bits >> bit & 1)
    return frozenset()
