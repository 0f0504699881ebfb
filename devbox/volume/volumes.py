"""Named and anonymous volumes: a row each, and a directory that outlives every container.

A directory is made and synced before its row is committed, and deleted after its row; both happen under the
store's write lock, so that a name never shows the data of a volume that was removed.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Mapping

from devbox.errors import ConflictError, NotFoundError, UsageError
from devbox.model.mount import Mount
from devbox.model.mount_parse import check_volume_name
from devbox.model.volume import Volume
from devbox.store.database import Store
from devbox.store.root import Root
from devbox.store.scratch import scratch
from devbox.system.files import remove_tree, sync_directory

ANONYMOUS_LABEL = "com.docker.volume.anonymous"
_OPTIONS = ("type", "o", "device")


def create(
    store: Store,
    name: str,
    *,
    driver: str = "local",
    labels: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> Volume:
    """Make a volume, or return the one of this name; with the name "" it is anonymous.

    Raises ConflictError when the one that exists has other labels or options than those asked for.
    """
    if driver != "local":
        raise UsageError(f"unknown volume driver {driver!r}", hint="there is only 'local'")
    with scratch(store.root, "volume"):  # should we die, the next command looks for what we left
        try:
            with store.transaction():
                return _obtain(store, name, labels or {}, options or {}, anonymous=not name)
        except BaseException:
            remove_orphans(store)
            raise


def ensure(store: Store, mount: Mount, container_id: str) -> str:
    """The name of the volume that `mount` wants, made when it is missing, now used by the container.

    To be called in a transaction; the container's own row may come later in it.
    """
    volume = _obtain(
        store, mount.source, dict(mount.labels), dict(mount.options), anonymous=mount.anonymous or not mount.source
    )
    store.db.execute("PRAGMA defer_foreign_keys = ON")  # until the end of this transaction
    store.db.execute(
        "INSERT INTO container_volumes (container_id, volume, target) VALUES (?, ?, ?)",
        (container_id, volume.name, mount.target),
    )
    return volume.name


def get(store: Store, name: str) -> Volume:
    """The volume of exactly this name; NotFoundError."""
    row = _row(store, name)
    if row is None:
        raise NotFoundError(f"no such volume: {name}", hint="'devbox volume ls' lists them")
    return _decode(store.root, row)


def every(store: Store) -> list[Volume]:
    """All volumes by name."""
    return [_decode(store.root, row) for row in store.db.execute("SELECT * FROM volumes ORDER BY name")]


def unused(store: Store) -> frozenset[str]:
    """The names of the volumes that no container uses."""
    rows = store.db.execute("SELECT name FROM volumes WHERE name NOT IN (SELECT volume FROM container_volumes)")
    return frozenset(row["name"] for row in rows)


def path(store: Store, name: str) -> str:
    """The directory that holds a volume's files."""
    return _path(store.root, name)


def users(store: Store, name: str) -> tuple[str, ...]:
    """The ids of the containers that use a volume, running or not."""
    rows = store.db.execute("SELECT DISTINCT container_id FROM container_volumes WHERE volume = ?", (name,))
    return tuple(row["container_id"] for row in rows)


def anonymous_of(store: Store, container_id: str) -> tuple[str, ...]:
    """The anonymous volumes of a container, which go when it does if that is asked for."""
    rows = store.db.execute(
        "SELECT DISTINCT name FROM volumes JOIN container_volumes ON volume = name"
        " WHERE anonymous = 1 AND container_id = ?",
        (container_id,),
    )
    return tuple(row["name"] for row in rows)


def remove(store: Store, name: str, *, force: bool = False) -> None:
    """Delete a volume with its files; ConflictError while a container uses it.

    With `force` it is no error when there is none.
    """
    with scratch(store.root, "volume") as workspace:
        with store.transaction():
            if _row(store, name) is None:
                if force:
                    return
                get(store, name)
            holders = _holders(store, name)
            if holders:
                raise ConflictError(
                    f"volume {name} is in use by {_containers(holders)}",
                    hint=f"remove first what uses it: devbox rm {' '.join(holders)}",
                )
            _delete_row(store, name)
        _take_away(store, name, workspace)


def remove_if_unused(store: Store, name: str) -> bool:
    """Delete a volume unless a container uses it or it is gone already; whether it was deleted."""
    with scratch(store.root, "volume") as workspace:
        with store.transaction():
            if _row(store, name) is None or _holders(store, name):
                return False
            _delete_row(store, name)
        _take_away(store, name, workspace)
    return True


def prune(store: Store, wanted: Callable[[Volume], bool]) -> tuple[list[str], int]:
    """Delete the unused volumes that are `wanted`; their names, and the bytes that this freed."""
    from devbox.volume.usage import size

    removed = []
    freed = 0
    free = unused(store)
    for volume in every(store):
        if volume.name in free and wanted(volume):
            held = size(volume.mountpoint)
            if remove_if_unused(store, volume.name):
                removed.append(volume.name)
                freed += held
    if removed:
        store.event("volume", "prune", "", {"reclaimed": str(freed)})
    remove_orphans(store)
    return removed, freed


def remove_orphans(store: Store) -> int:
    """Delete directories without a row, left by a killed `create` or `rm`; how many there were."""
    count = 0
    with scratch(store.root, "volume") as workspace:
        for name in os.listdir(store.root.volumes):
            if _row(store, name) is None:
                count += _take_away(store, name, workspace)
    return count


def _obtain(
    store: Store, name: str, labels: Mapping[str, str], options: Mapping[str, str], *, anonymous: bool
) -> Volume:
    row = _row(store, name) if name else None
    if row is not None:
        there = _decode(store.root, row)
        if not labels.items() <= there.labels.items() or (options and dict(options) != dict(there.options)):
            raise ConflictError(
                f"volume {name} exists with other labels or options",
                hint=f"'devbox volume inspect {name}' shows them; take another name, or remove it first",
            )
        return there
    _check_options(options)
    if not name:
        name = os.urandom(32).hex()
    volume = Volume(
        check_volume_name(name), time.time(), _path(store.root, name), anonymous, "local", labels, options
    )
    if anonymous:
        volume = volume._replace(labels={ANONYMOUS_LABEL: "", **labels})
    _make_directory(store.root, name)
    _insert(store, volume)
    return volume


def _check_options(options: Mapping[str, str]) -> None:
    from devbox.volume.devices import check

    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise UsageError(f"unknown volume option {unknown[0]!r}", hint=f"the options are {', '.join(_OPTIONS)}")
    if options:
        check(options)


def _make_directory(root: Root, name: str) -> None:
    home = f"{root.volumes}/{name}"
    if os.path.lexists(home):  # what a killed command left; nobody has a row for it
        os.rename(home, f"{root.scratch}/volume.{os.urandom(8).hex()}")
    os.mkdir(home, 0o700)
    os.mkdir(home + "/_data", 0o755)
    os.chmod(home + "/_data", 0o755)  # whatever the umask
    sync_directory(home)
    sync_directory(root.volumes)


def _insert(store: Store, volume: Volume) -> None:
    store.db.execute(
        "INSERT INTO volumes (name, created, anonymous, driver, labels_json, options_json)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            volume.name,
            volume.created,
            int(volume.anonymous),
            volume.driver,
            json.dumps(dict(volume.labels)),
            json.dumps(dict(volume.options)),
        ),
    )
    store.event("volume", "create", volume.name, {"driver": volume.driver})


def _delete_row(store: Store, name: str) -> None:
    store.db.execute("DELETE FROM volumes WHERE name = ?", (name,))
    store.event("volume", "destroy", name, {"driver": "local"})


def _take_away(store: Store, name: str, workspace: str) -> bool:
    """Move a volume's directory to where it is deleted, unless the name has a volume again."""
    gone = f"{workspace}/{os.urandom(8).hex()}"
    with store.transaction():
        if _row(store, name) is not None:
            return False
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{store.root.volumes}/{name}", gone)
    if not os.path.lexists(gone):
        return False
    sync_directory(store.root.volumes)
    remove_tree(gone)
    return True


def _row(store: Store, name: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = store.db.execute("SELECT * FROM volumes WHERE name = ?", (name,)).fetchone()
    return row


def _holders(store: Store, name: str) -> list[str]:
    rows = store.db.execute(
        "SELECT DISTINCT name FROM containers JOIN container_volumes ON container_id = id WHERE volume = ?"
        " ORDER BY created",
        (name,),
    )
    return [row["name"] for row in rows]


def _containers(names: list[str]) -> str:
    return ("container " if len(names) == 1 else "containers ") + ", ".join(names)


def _decode(root: Root, row: sqlite3.Row) -> Volume:
    return Volume(
        name=row["name"],
        created=row["created"],
        mountpoint=_path(root, row["name"]),
        anonymous=bool(row["anonymous"]),
        driver=row["driver"],
        labels=json.loads(row["labels_json"]),
        options=json.loads(row["options_json"]),
    )


def _path(root: Root, name: str) -> str:
    return f"{root.volumes}/{check_volume_name(name)}/_data"
