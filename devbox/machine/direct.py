"""A connection of one's own to a machine, by the address that is remembered or a new one."""

from __future__ import annotations

from devbox.errors import DevboxError, HostError, MachineGoneError
from devbox.machine import connection, places, registry, shares
from devbox.machine.connection import ChannelLink
from devbox.machine.drivers.driver import Endpoint


def connect(name: str) -> ChannelLink:
    """Log in, see that the shares are mounted, and start the agent."""
    link, found = _connect(name)
    try:
        shares.remount(places.machine(name), found)
    except BaseException:
        link.close()
        raise
    return link


def _connect(name: str) -> tuple[ChannelLink, Endpoint]:
    """The driver is asked for the address when nothing answers at the old one."""
    known = registry.endpoint(name)
    try:
        return connection.connect(known), known
    except MachineGoneError:
        try:
            found = registry.endpoint(name, refresh=True)
        except HostError:  # a machine that is off has no address
            found = known
        if found == known:
            raise
        return connection.connect(found), found


def judged(name: str, error: DevboxError) -> DevboxError:
    """What a lost connection means: it also ends when its machine does, so see whether that still answers."""
    if connection.answers(registry.endpoint(name)):
        return error
    return MachineGoneError("the machine is gone: its connection ended, and nothing answers at its address")
