"""Hosts files: written in place, since containers have them bind-mounted, and kept up while others come and go.

On a user network the names of its members resolve through these files; docker asks a resolver there.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence

from devbox.errors import NotFoundError
from devbox.model.network import PREDEFINED
from devbox.network import linkenv, links, members
from devbox.network.members import Member
from devbox.store.database import Store
from devbox.store.root import Root
from devbox.system.files import write_in_place
from devbox.system.locks import locked

_HOSTS_OF_THE_MACHINE = "/etc/hosts"
_SIZE_MAX = 1 << 20
_Line = tuple[str, Sequence[str]]


def refresh(store: Store, container_id: str) -> None:
    """Write a container's hosts and hostname files as they should be now."""
    with _writing(store.root):
        _refresh(store, container_id)


def refresh_peers(store: Store, container_id: str) -> None:
    """Write the hosts files of running containers that know this one by a link, a network or its namespace."""
    refresh_all(store, peers(store, container_id))


def refresh_all(store: Store, container_ids: Sequence[str]) -> None:
    """Write the files of several containers; one that is gone meanwhile is passed over."""
    if not container_ids:
        return
    with _writing(store.root):
        for container_id in container_ids:
            with contextlib.suppress(NotFoundError, FileNotFoundError):
                _refresh(store, container_id)


def content(store: Store, member: Member) -> str:
    """The text of a container's hosts file."""
    config = member.config
    mode, _, joined = config.network_mode.partition(":")
    if mode == "container" and joined:
        return content(store, members.get(store, joined))
    added = [_added(store, member, text) for text in config.extra_hosts]
    if mode == "host":
        return _machine_hosts() + "".join(f"{address}\t{' '.join(names)}\n" for address, names in added)
    return linkenv.hosts_file([*added, *_linked(store, member), *_own(store, member), *_neighbours(store, member)])


def _writing(root: Root) -> contextlib.AbstractContextManager[int]:
    # one writer at a time, who reads the state file after the one before has written: the last word is the latest
    return locked(f"{root.locks}/hosts")


def _refresh(store: Store, container_id: str) -> None:
    member = members.by_id(store, container_id)
    home = store.root.container(container_id)
    write_in_place(f"{home}/hosts", content(store, member).encode())
    write_in_place(f"{home}/hostname", f"{member.hostname}\n".encode())


def _added(store: Store, member: Member, text: str) -> _Line:
    name, _, address = text.partition(":")
    if address == "host-gateway":
        from devbox.network import networks

        address = networks.get(store, networks.DEFAULT).gateway  # as docker does
    return address.strip("[]"), (name,)


def _linked(store: Store, member: Member) -> Iterator[_Line]:
    for link in links.resolve(store, member.id):
        yield link.address, _unique(link.alias, link.target.hostname, link.target.name)


def _own(store: Store, member: Member) -> Iterator[_Line]:
    for row in _places(store, "endpoints.container_id = ?", member.id):
        names = _own_names(member)
        if row["network"] not in PREDEFINED:
            names = (*names, member.name, *json.loads(row["aliases_json"]), member.id[:12])
        yield row["address"], _unique(*names)


def _neighbours(store: Store, member: Member) -> Iterator[_Line]:
    """Everybody else on the user networks of a container."""
    where = (
        "endpoints.container_id <> ?1 AND networks.id IN "
        "(SELECT network_id FROM endpoints WHERE container_id = ?1) "
        "AND networks.name NOT IN ('bridge', 'host', 'none')"
    )
    for row in _places(store, where, member.id):
        other = members.decode(row)
        yield row["address"], _unique(other.name, *json.loads(row["aliases_json"]), other.id[:12])


def _places(store: Store, where: str, container_id: str) -> list[sqlite3.Row]:
    return store.db.execute(
        f"""SELECT {members.COLUMNS}, address, aliases_json, networks.name AS network FROM endpoints
        JOIN containers ON containers.id = endpoints.container_id
        JOIN networks ON networks.id = network_id
        WHERE {where} ORDER BY interface, containers.created""",
        (container_id,),
    ).fetchall()


def _own_names(member: Member) -> tuple[str, ...]:
    if member.config.domainname:
        return (f"{member.hostname}.{member.config.domainname}", member.hostname)
    return (member.hostname,)


def _unique(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _machine_hosts() -> str:
    try:
        with open(_HOSTS_OF_THE_MACHINE, errors="replace") as file:
            text = file.read(_SIZE_MAX)
    except FileNotFoundError:
        return linkenv.STANDARD_HOSTS
    return text if text.endswith("\n") else text + "\n"


def peers(store: Store, container_id: str) -> list[str]:
    """Ids of containers whose files mention this one, by what it wishes: its places may be gone already."""
    try:
        member = members.by_id(store, container_id)
    except NotFoundError:
        return []
    names = [wish.network for wish in member.config.endpoints if wish.network not in PREDEFINED]
    marks = ",".join("?" * len(names))
    rows = store.db.execute(
        f"""SELECT containers.id FROM containers WHERE status IN ('running', 'paused') AND containers.id <> ? AND (
            containers.id IN (SELECT consumer_id FROM links WHERE target_id = ?)
            OR json_extract(config_json, '$.network_mode') = ?
            OR containers.id IN (SELECT container_id FROM endpoints JOIN networks ON networks.id = network_id
                                 WHERE networks.name IN ({marks}) OR networks.id IN ({marks}))
        )""",
        (container_id, container_id, f"container:{container_id}", *names, *names),
    )
    return [row[0] for row in rows]
