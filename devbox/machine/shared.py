"""What a machine sees of this host since it was started last. Every command asks, so this imports little."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from devbox.machine import records
from devbox.machine.places import MachinePlace
from devbox.machine.translation.mountmap import MountMap, Share

MIRROR = "mirror"
"""the kind of those that lie on the machine's own disk and are kept the same"""


class Planned(NamedTuple):
    """A share as it will be, with what its device is called."""

    host: str
    guest: str
    kind: str
    tag: str

    def document(self) -> dict[str, Any]:
        """For machine.json, which the Vagrantfile reads."""
        return self._asdict()


def mounted(place: MachinePlace) -> MountMap:
    """As a map from this host to the machine."""
    known = recorded(place)
    shares = tuple(Share(share.host, share.guest) for share in known if share.kind != MIRROR)
    mirrors = tuple(Share(share.host, share.guest) for share in known if share.kind == MIRROR)
    return MountMap(sys.platform, shares, mirrors)


def recorded(place: MachinePlace) -> tuple[Planned, ...]:
    """With the kind of each."""
    document = records.read_json(place.shares) or {}
    try:
        return tuple(Planned(**share) for share in document.get("shares", ()))
    except TypeError:
        return ()  # of another version of devbox
