"""The mirrors of one machine, as its broker keeps them, and the commands that wait for them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

from devbox.errors import HostError
from devbox.machine import records, shared
from devbox.machine.mirroring import unison
from devbox.machine.places import MachinePlace
from devbox.machine.request import Request
from devbox.machine.shared import MIRROR, Planned

_USERS = ("run", "create", "start", "restart", "exec", "build", "cp", "up")
"""commands that may have to do with a mirror that they do not name"""


class Settling(Protocol):
    """A mirror."""

    def settle(self, waiting: Callable[[], None]) -> None:
        """Return when what has changed here until now is in the machine."""

    def end(self) -> None:
        """Stop."""


class Mirrors:
    """All of them; what `machine up` has written down is looked at again with each tick."""

    def __init__(self, place: MachinePlace) -> None:
        self._place = place
        self._reachable = threading.Event()
        self._mirrors: dict[Planned, Settling] = {}
        self._seen: tuple[int, int] | None = None

    @property
    def wanted(self) -> bool:
        """Whether there is any, for which the connection is to be kept."""
        return bool(self._mirrors)

    def tick(self) -> None:
        """Begin and end mirrors as they are wished for now."""
        stamp = _stamp(self._place.shares)
        if stamp == self._seen:
            return
        self._seen = stamp
        wanted = [share for share in shared.recorded(self._place) if share.kind == MIRROR]
        for share in [share for share in self._mirrors if share not in wanted]:
            self._mirrors.pop(share).end()
        for share in wanted:
            if share not in self._mirrors:
                self._begin(share)

    def _begin(self, share: Planned) -> None:
        if sys.platform == "linux":
            from devbox.machine.mirroring.mirror import Mirror

            where = directory(self._place, share)
            self._mirrors[share] = Mirror(self._place.name, share, where, self._reachable)

    def reached(self, *, yes: bool) -> None:
        """There is a connection to the machine, or there is none."""
        (self._reachable.set if yes else self._reachable.clear)()

    def concern(self, wanted: Request) -> bool:
        """Whether a command has to wait for any."""
        return any(_concerns(share, wanted) for share in [*self._mirrors])

    def settle(self, wanted: Request, waiting: Callable[[str], None]) -> None:
        """Return when a command may run: what it could see is as it is here. HostError when that cannot be."""
        for share, mirror in [*self._mirrors.items()]:
            if _concerns(share, wanted):
                mirror.settle(lambda host=share.host: waiting(host))  # type: ignore[misc]

    def end(self) -> None:
        """End all."""
        for mirror in [*self._mirrors.values()]:
            mirror.end()


def need_broker(place: MachinePlace, wanted: Request) -> None:
    """HostError for a command that would find old files because nobody keeps the mirrors."""
    for share in shared.recorded(place):
        if share.kind == MIRROR and _concerns(share, wanted):
            raise HostError(
                f"the mirror of {share.host} is kept by the broker of machine {place.name!r}, and there is none",
                hint="run this without DEVBOX_NO_BROKER",
            )


def _concerns(share: Planned, wanted: Request) -> bool:
    command, params = wanted.invocation
    if command[0] == "internal":
        return False
    return command[-1] in _USERS or share.guest in " ".join([wanted.cwd, *map(str, params.values())])


def directory(place: MachinePlace, share: Planned) -> str:
    """Where a mirror keeps what both sides had, and how it is."""
    import hashlib

    key = hashlib.sha256(f"{share.host}\0{share.guest}".encode(errors="surrogateescape")).hexdigest()
    return os.path.join(place.mirrors, key[:16])


def known(place: MachinePlace) -> list[dict[str, Any]]:
    """All mirrors of a machine as they were in the end."""
    found = []
    for share in shared.recorded(place):
        if share.kind == MIRROR:
            said = records.read_json(os.path.join(directory(place, share), unison.STATUS))
            said = said or {"state": "not yet", "detail": "", "conflicts": []}
            found.append({"host": share.host, "guest": share.guest, **said})
    return found


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns
