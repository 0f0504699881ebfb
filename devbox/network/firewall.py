"""This root's nft table: brought to what the state file says, and mended when somebody flushed it."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
from typing import NamedTuple

from devbox.network import naming, networks, rules
from devbox.store.database import Store
from devbox.system import nft
from devbox.system.files import write_atomic
from devbox.system.locks import locked


class _Wanted(NamedTuple):
    sides: tuple[rules.Side, ...]
    elements: tuple[str, ...]


def publish(store: Store, container_id: str) -> None:
    """Open the ports that a container has claimed; everything else is mended on the way."""
    ensure(store)


def withdraw(store: Store, container_id: str) -> None:
    """Give up a container's ports and close them, before its addresses are given back and meet another."""
    held = store.db.execute("SELECT 1 FROM ports WHERE container_id = ? LIMIT 1", (container_id,)).fetchone()
    if held:
        with store.transaction():
            store.db.execute("DELETE FROM ports WHERE container_id = ?", (container_id,))
        ensure(store)


def ensure(store: Store) -> None:
    """Make the table what the state file says: nothing, a few elements or all of it is written.

    What was written last is kept beside the locks together with a fingerprint of the kernel's table, so that a
    table that is as it should be costs half a millisecond and no process.
    """
    table = naming.table(store.root)
    with locked(f"{store.root.locks}/firewall"):
        wanted = _wanted(store)
        last = _recall(store)
        now = nft.fingerprint(table, rules.SETS)
        if now == 0 or last is None or now != last[0] or last[1].sides != wanted.sides:
            _forget(store)
            nft.apply(rules.whole(table, wanted.sides, wanted.elements))
        elif last[1].elements != wanted.elements:
            gone = sorted(set(last[1].elements) - set(wanted.elements))
            new = sorted(set(wanted.elements) - set(last[1].elements))
            _forget(store)
            nft.apply(rules.change(table, gone, new))
        else:
            return
        _remember(store, nft.fingerprint(table, rules.SETS), wanted)


def remove(store: Store) -> None:
    """Delete the table; absent is fine."""
    table = naming.table(store.root)
    with locked(f"{store.root.locks}/firewall"):
        _forget(store)
        nft.apply(f"add table ip {table}\ndelete table ip {table}\n")


def _wanted(store: Store) -> _Wanted:
    sides = tuple(
        rules.Side(network.bridge, network.subnet, network.internal, networks.masquerades(network))
        for network in networks.every(store)
        if network.driver == "bridge"
    )
    return _Wanted(sides, tuple(rules.element(port) for port in _published(store)))


def _published(store: Store) -> list[rules.Published]:
    """Each claimed port with the address its container has on the first network that has an outside."""
    rows = store.db.execute(
        "SELECT protocol, host_address, host_port, container_port, address, "
        "MIN(CAST(SUBSTR(interface, 4) AS INTEGER)) FROM ports "
        "JOIN endpoints USING (container_id) WHERE gateway <> '' "
        "GROUP BY protocol, host_address, host_port ORDER BY protocol, host_address, host_port"
    )
    return [rules.Published(row[0], row[1], row[2], row[4], row[3]) for row in rows]


def _record(store: Store) -> str:
    return f"{store.root.locks}/firewall.json"


def _recall(store: Store) -> tuple[int, _Wanted] | None:
    import json

    try:
        with open(_record(store), "rb") as file:
            fingerprint, sides, elements = json.loads(file.read())
            return fingerprint, _Wanted(tuple(rules.Side(*side) for side in sides), tuple(elements))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _remember(store: Store, fingerprint: int, wanted: _Wanted) -> None:
    import json

    write_atomic(_record(store), json.dumps([fingerprint, *wanted]).encode(), durable=False)


def _forget(store: Store) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_record(store))
