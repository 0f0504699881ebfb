"""Debian's updates in a machine. devbox itself needs none: the host ships its own with each connection."""

from __future__ import annotations

import re

from devbox.errors import HostError
from devbox.machine import inside
from devbox.machine.drivers.driver import Endpoint
from devbox.machine.places import MachinePlace

_UPGRADE = """
set -eu
command -v apt-get >/dev/null || { echo 'it has no apt-get, so it is no Debian' >&2; exit 1; }
export DEBIAN_FRONTEND=noninteractive
set -- -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold
apt-get "$@" update >&2
apt-get "$@" upgrade
"""
_PATIENCE = 3600.0
_COUNT = re.compile(r"^(\d+) upgraded, ", re.MULTILINE)


def upgrade(place: MachinePlace, endpoint: Endpoint) -> int:
    """Bring the packages of a machine up to date; how many were. HostError with what apt said in the end."""
    done = inside.run(place, endpoint, _UPGRADE, patience=_PATIENCE)
    if done.returncode:
        raise HostError(
            f"machine {place.name!r} could not be brought up to date: {inside.last_line(done.stderr)}",
            hint=f"devbox machine ssh -m {place.name} -- sudo apt-get upgrade shows the whole of it",
        )
    found = _COUNT.search(done.stdout)
    return int(found[1]) if found else 0
