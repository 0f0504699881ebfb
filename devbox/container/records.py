"""Rows of the `containers` table."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
import re
import sqlite3
from collections.abc import Iterable

from devbox.errors import ConflictError, DevboxError, NotFoundError, UsageError
from devbox.model.codec import dump_config, load_config
from devbox.model.container import Container
from devbox.store.database import Store

NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}"
_JSON = {"config": "config_json", "health": "health_json"}
_BOOLEANS = ("oom_killed", "stopped_by_user")


def decode(row: sqlite3.Row) -> Container:
    """The value of a whole row (SELECT *)."""
    fields = dict(zip(row.keys(), row, strict=True))
    fields["config"] = load_config(fields.pop("config_json"))
    fields["health"] = json.loads(fields.pop("health_json"))
    for name in _BOOLEANS:
        fields[name] = bool(fields[name])
    return Container(**fields)


def resolve(store: Store, reference: str) -> str:
    """The id that a name, id or unambiguous id prefix stands for.

    Raises NotFoundError, or ConflictError for an ambiguous prefix. "/name" is accepted, as docker writes it.
    """
    wanted = reference.removeprefix("/")
    row = store.db.execute("SELECT id FROM containers WHERE id = ?1 OR name = ?1", (wanted,)).fetchone()
    if row:
        return str(row["id"])
    found: list[str] = []
    if wanted and set(wanted) <= set("0123456789abcdef"):
        rows = store.db.execute("SELECT id FROM containers WHERE id GLOB ? LIMIT 2", (wanted + "*",))
        found = [row["id"] for row in rows]
    if len(found) > 1:
        raise ConflictError(f"more than one container has an id that starts with {wanted}", hint="give more of it")
    if not found:
        raise NotFoundError(f"no such container: {reference}", hint="'devbox ps -a' lists them")
    return found[0]


def get(store: Store, reference: str) -> Container:
    """The container that a name, id or unambiguous id prefix stands for; NotFoundError."""
    return by_id(store, resolve(store, reference))


def by_id(store: Store, container_id: str) -> Container:
    """The container with exactly this id; NotFoundError when it is gone."""
    row = store.db.execute("SELECT * FROM containers WHERE id = ?", (container_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"no such container: {container_id}")
    return decode(row)


def every(store: Store, *statuses: str) -> list[Container]:
    """All containers, or those in one of the given states, oldest first."""
    where = f"WHERE status IN ({','.join('?' * len(statuses))})" if statuses else ""
    rows = store.db.execute(f"SELECT * FROM containers {where} ORDER BY created", statuses)
    return [decode(row) for row in rows]


def insert(store: Store, container: Container) -> None:
    """Add a row; ConflictError when the name is taken, naming the holder."""
    check_name(container.name)
    columns = _columns(container, container._fields)
    marks = ",".join("?" * len(columns))
    try:
        store.db.execute(f"INSERT INTO containers ({','.join(columns)}) VALUES ({marks})", tuple(columns.values()))
    except sqlite3.IntegrityError as error:
        raise _name_conflict(store, container.name, error) from error


def update(store: Store, container: Container, *fields: str) -> None:
    """Write the named fields of a container to its row."""
    columns = _columns(container, fields)
    assignments = ",".join(f"{column} = ?" for column in columns)
    try:
        store.db.execute(f"UPDATE containers SET {assignments} WHERE id = ?", (*columns.values(), container.id))
    except sqlite3.IntegrityError as error:
        raise _name_conflict(store, container.name, error) from error


def announce(store: Store, container: Container, action: str, **attributes: str) -> None:
    """Record an event of a container for `devbox events`; inside a transaction it is part of it."""
    shown = {**container.config.labels, **attributes, "image": container.image_name, "name": container.name}
    store.event("container", action, container.id, shown)


def check_name(name: str) -> None:
    """Raise UsageError for a name outside docker's grammar."""
    if not re.fullmatch(NAME, name):
        raise UsageError(
            f"invalid container name {name!r}",
            hint="a name has 1 to 128 letters, digits, '_', '.' or '-', and starts with a letter or digit",
        )


def _columns(container: Container, fields: Iterable[str]) -> dict[str, object]:
    columns: dict[str, object] = {}
    for name in fields:
        value = getattr(container, name)
        if name == "config":
            value = dump_config(value)
        elif name == "health":
            value = json.dumps(dict(value))
        elif name in _BOOLEANS:
            value = int(value)
        columns[_JSON.get(name, name)] = value
    return columns


def _name_conflict(store: Store, name: str, error: sqlite3.IntegrityError) -> DevboxError:
    holder = store.db.execute("SELECT id FROM containers WHERE name = ?", (name,)).fetchone()
    if holder is None:
        return NotFoundError("the image was removed meanwhile")
    return ConflictError(
        f"the container name {name!r} is in use by container {holder['id'][:12]}",
        hint=f"remove it with 'devbox rm {name}', rename it, or take another name",
    )
