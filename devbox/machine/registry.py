"""From a machine's name to its driver and its address."""

from __future__ import annotations

from devbox.errors import NotFoundError
from devbox.machine import places, records
from devbox.machine.driver import Endpoint


def endpoint(name: str) -> Endpoint:
    """The machine's address from the disk; NotFoundError when it was never up."""
    known = records.read_endpoint(places.machine(name))
    if known is None:
        raise NotFoundError(f"machine {name!r} is not up", hint=f"devbox machine up {name}")
    return known
