"""Links: aliases for other containers, as docker's --link makes them, and between running containers too.

On the default bridge a link adds variables and a hosts line. On a user network it is an alias only.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import sqlite3
from collections.abc import Collection, Sequence
from typing import NamedTuple

from devbox.errors import ConflictError, NotFoundError, StateError, UsageError
from devbox.model.container import Container
from devbox.model.network import Link
from devbox.model.network_parse import parse_link
from devbox.network import linkenv, members
from devbox.network.members import Member
from devbox.store.database import Store


class Resolved(NamedTuple):
    """A link whose two ends have a network in common now."""

    alias: str
    target: Member
    address: str
    by_default_bridge: bool
    """docker's full link: variables as well"""


def add(store: Store, consumer_id: str, target: str, alias: str) -> Link:
    """Record a link; [tx].

    Raises NotFoundError for a target that is not there, ConflictError for an alias in use, UsageError where
    containers of that kind cannot be linked.
    """
    parse_link(f"{target}:{alias}")
    consumer = members.by_id(store, consumer_id)
    try:
        other = members.get(store, target)
    except NotFoundError as error:
        raise NotFoundError(f"could not get container for {target}: {error.message}", hint=error.hint) from error
    if other.id == consumer.id:
        raise UsageError(f"container {consumer.name} cannot be linked to itself")
    _check_modes(consumer, other)
    try:
        store.db.execute(
            "INSERT INTO links (consumer_id, target_id, alias) VALUES (?, ?, ?)", (consumer.id, other.id, alias)
        )
    except sqlite3.IntegrityError as error:
        raise ConflictError(
            f"container {consumer.name} has a link {alias} already",
            hint=f"'devbox unlink {consumer.name} {alias}' removes it",
        ) from error
    return Link(consumer.id, other.id, alias)


def remove(store: Store, consumer_id: str, alias: str) -> None:
    """Forget a link; [tx]. NotFoundError when there is none by that alias."""
    found = store.db.execute("DELETE FROM links WHERE consumer_id = ? AND alias = ?", (consumer_id, alias))
    if not found.rowcount:
        name = members.by_id(store, consumer_id).name
        raise NotFoundError(
            f"container {name} has no link {alias}", hint=f"'devbox inspect {name}' shows its links"
        )


def of(store: Store, consumer_id: str) -> tuple[Link, ...]:
    """The links of a consumer, in the order they were made."""
    rows = store.db.execute(
        "SELECT consumer_id, target_id, alias FROM links WHERE consumer_id = ? ORDER BY rowid", (consumer_id,)
    )
    return tuple(Link(*row) for row in rows)


def check_running(store: Store, container: Container) -> None:
    """Raise StateError, as docker does, when a link of a container that is about to start leads nowhere."""
    wished = {wish.network for wish in container.config.endpoints}
    for link in of(store, container.id):
        check_target(store, container.name, wished, link)


def check_target(store: Store, consumer: str, wished: Collection[str], link: Link) -> None:
    """Raise StateError when a link's target does not run, or is on none of the networks."""
    target = members.by_id(store, link.target_id)
    if not target.running:
        raise StateError(
            f"cannot link to a non running container: /{target.name} AS /{consumer}/{link.alias}",
            hint=f"start it with 'devbox start {target.name}'",
        )
    if not _networks_of(store, target.id) & set(wished):
        raise StateError(
            f"cannot link to /{target.name}: it has no network in common with {consumer}",
            hint=f"devbox network connect {next(iter(wished), 'NETWORK')} {target.name}",
        )


def targets_first(store: Store, container_ids: Sequence[str]) -> list[str]:
    """The same containers in an order in which they can be started: a link's target before its consumer."""
    ordered: list[str] = []
    seen: set[str] = set()

    def visit(container_id: str) -> None:
        if container_id not in seen:
            seen.add(container_id)
            for link in of(store, container_id):
                visit(link.target_id)
            ordered.append(container_id)

    for container_id in container_ids:
        visit(container_id)
    wanted = set(container_ids)
    return [container_id for container_id in ordered if container_id in wanted]


def resolve(store: Store, consumer_id: str) -> list[Resolved]:
    """The links of a consumer that lead somewhere now, in the order they were made."""
    rows = store.db.execute(
        f"""SELECT {members.COLUMNS}, alias, theirs.address, networks.name AS network
        FROM links
        JOIN containers ON containers.id = links.target_id
        JOIN endpoints AS ours ON ours.container_id = links.consumer_id
        JOIN endpoints AS theirs ON theirs.container_id = links.target_id AND theirs.network_id = ours.network_id
        JOIN networks ON networks.id = ours.network_id
        WHERE links.consumer_id = ? ORDER BY links.rowid, ours.interface""",
        (consumer_id,),
    ).fetchall()
    found: dict[str, Resolved] = {}
    for row in rows:
        known = found.get(row["alias"])
        if known is None or (row["network"] == "bridge" and not known.by_default_bridge):
            found[row["alias"]] = Resolved(
                row["alias"], members.decode(row), row["address"], row["network"] == "bridge"
            )
    return list(found.values())


def environment(store: Store, consumer_id: str) -> tuple[str, ...]:
    """The variables that a consumer is told of its links now, in docker's order."""
    consumer = members.by_id(store, consumer_id)
    lines: list[str] = []
    for link in resolve(store, consumer_id):
        if link.by_default_bridge:
            config = link.target.config
            target = linkenv.Target(link.address, config.env, config.exposed)
            lines.extend(linkenv.environment(consumer.name, link.alias, target))
    return tuple(lines)


def _networks_of(store: Store, container_id: str) -> set[str]:
    rows = store.db.execute(
        "SELECT networks.name FROM endpoints JOIN networks ON networks.id = network_id WHERE container_id = ?",
        (container_id,),
    )
    return {row[0] for row in rows}


def _check_modes(consumer: Member, target: Member) -> None:
    for member in (consumer, target):
        mode = member.config.network_mode.partition(":")[0]
        if mode in ("host", "none", "container"):
            raise UsageError(
                f"container {member.name} has network {member.config.network_mode} and cannot be linked",
                hint="links need a bridge network",
            )
