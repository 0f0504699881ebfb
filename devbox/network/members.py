"""What this room needs to know of containers, read from their rows."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import sqlite3
from typing import NamedTuple

from devbox.errors import ConflictError, NotFoundError
from devbox.model.codec import dump_config, load_config
from devbox.model.container import ContainerConfig
from devbox.store.database import Store
from devbox.system import procfs


class Member(NamedTuple):
    """A container as seen from its networks."""

    id: str
    name: str
    status: str
    config: ContainerConfig
    pid: int
    pid_start: int
    boot_id: str

    @property
    def hostname(self) -> str:
        """What the container calls itself."""
        return self.config.hostname or self.id[:12]

    @property
    def running(self) -> bool:
        """Whether its first process is alive."""
        return self.boot_id == procfs.boot_id() and procfs.alive(self.pid, self.pid_start)


COLUMNS = "containers.id, containers.name, status, config_json, pid, pid_start, boot_id"


def decode(row: sqlite3.Row) -> Member:
    """The member of a row of COLUMNS."""
    identity, name, status, config, pid, pid_start, boot_id = (row[index] for index in range(7))
    return Member(identity, name, status, load_config(config), pid, pid_start, boot_id)


def by_id(store: Store, container_id: str) -> Member:
    """The container with exactly this id; NotFoundError."""
    row = store.db.execute(f"SELECT {COLUMNS} FROM containers WHERE id = ?", (container_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"no such container: {container_id}")
    return decode(row)


def get(store: Store, reference: str) -> Member:
    """The container that a name, id or unambiguous id prefix stands for; NotFoundError."""
    wanted = reference.removeprefix("/")
    query = f"SELECT {COLUMNS} FROM containers WHERE"
    row = store.db.execute(f"{query} id = ?1 OR name = ?1", (wanted,)).fetchone()
    if row:
        return decode(row)
    found = []
    if wanted and set(wanted) <= set("0123456789abcdef"):
        found = store.db.execute(f"{query} id GLOB ? LIMIT 2", (wanted + "*",)).fetchall()
    if len(found) > 1:
        raise ConflictError(f"more than one container has an id that starts with {wanted}", hint="give more of it")
    if not found:
        raise NotFoundError(f"no such container: {reference}", hint="'devbox ps -a' lists them")
    return decode(found[0])


def write_config(store: Store, container_id: str, config: ContainerConfig) -> None:
    """Replace a container's config; [tx]."""
    store.db.execute("UPDATE containers SET config_json = ? WHERE id = ?", (dump_config(config), container_id))
