"""Many containers at a glance: what listings show, in a handful of queries however many there are."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from devbox.container.records import decode
from devbox.errors import UsageError
from devbox.model import reference
from devbox.model.container import Container
from devbox.model.network import PortBinding
from devbox.store.database import Store

ALIVE = ("running", "paused", "restarting", "removing")


class Overview(NamedTuple):
    """A container with what other tables say of it."""

    container: Container
    image: str
    """as the user wrote it, or "" when that name means another image by now, or none"""
    ports: tuple[PortBinding, ...] = ()
    linked_as: tuple[str, ...] = ()
    """what consumers call it: ("web/db",)"""

    @property
    def alive(self) -> bool:
        """Whether it has a process, or will have again by itself."""
        return self.container.status in ALIVE

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks it is on, or will be when it starts; none for another container's."""
        config = self.container.config
        if config.endpoints:
            return tuple(wish.network for wish in config.endpoints)
        return (config.network_mode,) if config.network_mode in ("host", "none") else ()


def every(store: Store, statuses: Iterable[str] = ()) -> list[Overview]:
    """All containers, or those in one of the given states, the newest first."""
    wanted = tuple(statuses)
    where = f"WHERE status IN ({','.join('?' * len(wanted))})" if wanted else ""
    rows = store.db.execute(f"SELECT * FROM containers {where} ORDER BY created DESC, rowid DESC", wanted)
    containers = [decode(row) for row in rows]
    images = _ImageNames(store)
    ports = _ports(store)
    names = _linked_names(store)
    return [
        Overview(each, images.shown(each), tuple(ports.get(each.id, ())), tuple(names.get(each.id, ())))
        for each in containers
    ]


class _ImageNames:
    def __init__(self, store: Store) -> None:
        rows = store.db.execute(
            "SELECT name, image_id FROM tags UNION ALL SELECT name, image_id FROM image_digests"
        )
        self.holders = {row["name"]: row["image_id"] for row in rows}
        self.known: dict[tuple[str, str], str] = {}

    def shown(self, container: Container) -> str:
        key = (container.image_name, container.image_id)
        if key not in self.known:
            self.known[key] = container.image_name if self._holds(*key) else ""
        return self.known[key]

    def _holds(self, name: str, image_id: str) -> bool:
        if image_id.removeprefix("sha256:").startswith(name.removeprefix("sha256:")):
            return True
        try:
            parsed = reference.parse(name)
        except UsageError:
            return False
        full = f"{parsed.repository}@{parsed.digest}" if parsed.digest else parsed.tagged
        return bool(self.holders.get(full) == image_id)


def _ports(store: Store) -> dict[str, list[PortBinding]]:
    found: dict[str, list[PortBinding]] = defaultdict(list)
    rows = store.db.execute("SELECT container_port, protocol, host_port, host_address, container_id FROM ports")
    for *binding, container_id in rows:
        found[container_id].append(PortBinding(*binding))
    return found


def _linked_names(store: Store) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    rows = store.db.execute(
        "SELECT target_id, name || '/' || alias FROM links "
        "JOIN containers ON containers.id = consumer_id ORDER BY 2"
    )
    for target_id, name in rows:
        found[target_id].append(name)
    return found
