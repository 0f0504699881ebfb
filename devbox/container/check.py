"""Containers and volumes of the state file against their directories: found, and put right."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from collections.abc import Iterator

from devbox.container import locks, records
from devbox.errors import StoreError
from devbox.model.problem import Problem
from devbox.store.database import Store
from devbox.system.files import remove_tree
from devbox.volume import volumes

_PARTS = ("diff", "work", "log", "hosts", "hostname", "resolv.conf")
_DIRECTORIES = {"diff": 0o755, "work": 0o700, "log": 0o700}


def find(store: Store) -> list[Problem]:
    """Everything that is wrong; reads only."""
    return [*_rows(store), *_missing(store), *_surplus(store), *_volumes(store)]


def repair(store: Store) -> list[Problem]:
    """Put right what can be; returns what was found."""
    problems = find(store)
    for problem in problems:
        match problem.kind:
            case "missing container":
                _remake(store, problem.name)
            case "surplus container":
                _discard(store, problem.name)
            case "missing volume":
                os.makedirs(f"{store.root.volumes}/{problem.name}/_data", mode=0o755, exist_ok=True)
    if any(problem.kind == "surplus volume" for problem in problems):
        volumes.remove_orphans(store)
    return problems


def _rows(store: Store) -> Iterator[Problem]:
    """Damage that SQLite itself finds, and rows that cannot be read."""
    for row in store.db.execute("PRAGMA quick_check(20)"):
        if row[0] != "ok":
            yield Problem("row", store.root.database, f"the state file is damaged: {row[0]}", mendable=False)
    for row in store.db.execute("PRAGMA foreign_key_check"):
        sentence = f"the state file has a row of {row[0]} that names a missing one of {row[2]}"
        yield Problem("row", row[0], sentence, mendable=False)
    for row in store.db.execute("SELECT * FROM containers").fetchall():
        try:
            records.decode(row)
        except (StoreError, ValueError, TypeError, KeyError, AttributeError):
            sentence = f"the row of container {row['name']} cannot be read"
            yield Problem("row", row["id"], sentence, mendable=False)


def _missing(store: Store) -> Iterator[Problem]:
    for row in store.db.execute("SELECT id, name FROM containers ORDER BY created").fetchall():
        home = store.root.container(row["id"])
        lost = [part for part in _PARTS if not os.path.lexists(f"{home}/{part}")]
        if lost and _still_there(store, row["id"]):
            what = "its directory" if len(lost) == len(_PARTS) else ", ".join(lost)
            yield Problem("missing container", row["id"], f"container {row['name']} has lost {what}")


def _still_there(store: Store, container_id: str) -> bool:
    row = store.db.execute("SELECT 1 FROM containers WHERE id = ?", (container_id,)).fetchone()
    return row is not None


def _surplus(store: Store) -> Iterator[Problem]:
    for name in _listed(store.root.containers):
        if not _still_there(store, name) and _idle(store, name):
            yield Problem("surplus container", name, f"the directory containers/{name} belongs to no container")


def _idle(store: Store, container_id: str) -> bool:
    """Whether no command is at work on a container: `create` makes its directory before its row."""
    lock = locks.try_operation(store.root, container_id)
    if lock is None:
        return False
    os.close(lock)
    return True


def _volumes(store: Store) -> Iterator[Problem]:
    with store.transaction():
        # `volume create` makes its directory in the transaction of its row
        known = {row["name"] for row in store.db.execute("SELECT name FROM volumes")}
        there = _listed(store.root.volumes)
    for name in sorted(known):
        if not os.path.isdir(f"{store.root.volumes}/{name}/_data"):
            yield Problem("missing volume", name, f"volume {name} has lost its directory: it will be empty")
    for name in there:
        if name not in known:
            yield Problem("surplus volume", name, f"the directory volumes/{name} belongs to no volume")


def _listed(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []


def _remake(store: Store, container_id: str) -> None:
    """Make what is missing anew, empty: what the container wrote is lost, but it can start or be removed."""
    home = store.root.container(container_id)
    with locks.operation(store.root, container_id):
        os.makedirs(home, mode=0o700, exist_ok=True)
        for part in _PARTS:
            path = f"{home}/{part}"
            if part in _DIRECTORIES:
                os.makedirs(path, mode=_DIRECTORIES[part], exist_ok=True)
            elif not os.path.lexists(path):
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _discard(store: Store, container_id: str) -> None:
    lock = locks.try_operation(store.root, container_id)
    if lock is None:
        return
    try:
        if not _still_there(store, container_id):
            remove_tree(store.root.container(container_id))
            locks.remove(store.root, container_id)
    finally:
        os.close(lock)
