"""This root's nft table: brought to what the state file says, and mended when somebody flushed it."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from devbox.network import naming, networks, rules
from devbox.store.database import Store
from devbox.system import nft
from devbox.system.files import write_atomic
from devbox.system.locks import locked

_CHANGES_MAX = 500


class _Wanted(NamedTuple):
    sides: tuple[rules.Side, ...]
    ports: tuple[rules.Published, ...]


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
    with locked(f"{store.root.locks}/firewall"):
        wanted = _wanted(store)
        written = _written(store)
        if written == wanted:
            return
        _forget(store)
        if written is None or written.sides != wanted.sides or not _change(store, written, wanted):
            _write(store, wanted)
        _remember(store, wanted)


def is_whole(store: Store) -> bool:
    """Whether the table has what the networks in use need; reads only.

    A network that nobody has used yet gets its rules with its first container.
    """
    with locked(f"{store.root.locks}/firewall"):
        written, wanted = _written(store), _wanted(store)
    rows = store.db.execute("SELECT bridge FROM networks JOIN endpoints ON networks.id = network_id").fetchall()
    used = {row["bridge"] for row in rows}
    needed = {side for side in wanted.sides if side.bridge in used}
    return written is not None and written.ports == wanted.ports and needed <= set(written.sides)


def is_blocked(store: Store) -> bool:
    """Whether another user of iptables, such as a docker that was started later, drops our traffic."""
    return _is_blocked(store, _wanted(store))


def passes(store: Store, chain: Mapping[str, str]) -> bool:
    """Whether our traffic has a passage through a foreign chain, given as nft's JSON has it."""
    where = (chain.get("family"), chain.get("table"), chain.get("name"))
    return where == ("ip", rules.FOREIGN_TABLE, rules.FOREIGN_CHAIN) and not _is_blocked(store, _wanted(store))


def remove(store: Store) -> None:
    """Delete the table; absent is fine."""
    table = naming.table(store.root)
    with locked(f"{store.root.locks}/firewall"):
        _forget(store)
        nft.apply(f"add table ip {table}\ndelete table ip {table}\n")
        _close_passage(table)


def _wanted(store: Store) -> _Wanted:
    sides = tuple(
        rules.Side(network.bridge, network.subnet, network.internal, networks.masquerades(network))
        for network in networks.every(store)
        if network.driver == "bridge"
    )
    return _Wanted(sides, _published(store))


def _published(store: Store) -> tuple[rules.Published, ...]:
    """Each claimed port with the address its container has on the first network that has an outside."""
    rows = store.db.execute(
        "SELECT protocol, host_address, host_port, container_port, address, "
        "MIN(CAST(SUBSTR(interface, 4) AS INTEGER)) FROM ports "
        "JOIN endpoints USING (container_id) WHERE gateway <> '' "
        "GROUP BY protocol, host_address, host_port ORDER BY protocol, host_address, host_port"
    )
    return tuple(rules.Published(row[0], row[1], row[2], row[4], row[3]) for row in rows)


def _written(store: Store) -> _Wanted | None:
    """What the kernel has, when that is still what was written last."""
    last = _recall(store)
    if last is None or last[0] != _fingerprint(store) or _is_blocked(store, last[1]):
        return None
    return last[1]


def _fingerprint(store: Store) -> int:
    return nft.fingerprint(naming.table(store.root), rules.SETS)


def _write(store: Store, wanted: _Wanted) -> None:
    table = naming.table(store.root)
    script = rules.whole(table, wanted.sides, wanted.ports)
    if _drops_unknown():
        script += rules.passage(table, wanted.sides, jumps=_jumps(table))
    nft.apply(script)
    _forget_flows(wanted.ports)


def _change(store: Store, written: _Wanted, wanted: _Wanted) -> bool:
    """Replace the ports that differ; False when there are too many for one message, or the kernel refused."""
    gone = sorted(set(written.ports) - set(wanted.ports))
    new = sorted(set(wanted.ports) - set(written.ports))
    if len(gone) + len(new) > _CHANGES_MAX:
        return False
    try:
        nft.change_elements(naming.table(store.root), list(map(rules.packed, gone)), list(map(rules.packed, new)))
    except OSError:
        return False
    _forget_flows((*gone, *new))
    return True


def _forget_flows(ports: Iterable[rules.Published]) -> None:
    numbers = {port.host_port for port in ports if port.protocol == "udp"}
    if numbers:
        from devbox.system import conntrack

        conntrack.forget_udp(numbers)


def _drops_unknown() -> bool:
    return nft.chain_policy(rules.FOREIGN_TABLE, rules.FOREIGN_CHAIN) == nft.DROP


def _jumps(chain: str) -> bool:
    return nft.mentioned(rules.FOREIGN_TABLE, rules.FOREIGN_CHAIN, [chain]) == {chain}


def _is_blocked(store: Store, written: _Wanted) -> bool:
    """Whether docker or another user of iptables drops what it does not know, us included."""
    if not _drops_unknown():
        return False
    chain = naming.table(store.root)
    bridges = {side.bridge for side in written.sides}
    return not (_jumps(chain) and nft.mentioned(rules.FOREIGN_TABLE, chain, bridges) == bridges)


def _close_passage(chain: str) -> None:
    handles = nft.rules_with(rules.FOREIGN_TABLE, rules.FOREIGN_CHAIN, chain)
    if handles or nft.rules_with(rules.FOREIGN_TABLE, chain, ""):
        nft.apply(rules.no_passage(chain, handles))


def _record(store: Store) -> str:
    return f"{store.root.locks}/firewall.json"


def _recall(store: Store) -> tuple[int, _Wanted] | None:
    import json

    try:
        with open(_record(store), "rb") as file:
            fingerprint, sides, ports = json.loads(file.read())
            sides, ports = (rules.Side(*side) for side in sides), (rules.Published(*port) for port in ports)
            return fingerprint, _Wanted(tuple(sides), tuple(ports))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _remember(store: Store, wanted: _Wanted) -> None:
    import json

    # on a full disk there is no record, and the next command writes the whole table again
    with contextlib.suppress(OSError):
        write_atomic(_record(store), json.dumps([_fingerprint(store), *wanted]).encode(), durable=False)


def _forget(store: Store) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_record(store))
