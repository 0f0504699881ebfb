"""Cleaning up after dead processes; every step leaves alone what a living one has locked."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from collections.abc import Iterable

from devbox.container import exits, locks, logger, monitor, records
from devbox.container.exits import is_running
from devbox.errors import NotFoundError
from devbox.image import gc
from devbox.model.container import Container
from devbox.store.database import Store
from devbox.system import procfs
from devbox.system.files import remove_tree
from devbox.volume import volumes


def clean(store: Store, *, stale: Iterable[str], half_started: Iterable[str], mute: Iterable[str]) -> None:
    """Book containers that ended unseen, undo starts that were killed, and bring lost loggers back; by id."""
    for container_id in stale:
        _settle(store, container_id)
    for container_id in half_started:
        _clear_bundle(store, container_id)
    for container_id in mute:
        _revive_logger(store, container_id)


def _revive_logger(store: Store, container_id: str) -> None:
    try:
        logger.revive(store.root, records.by_id(store, container_id))
    except NotFoundError:
        return


def _settle(store: Store, container_id: str) -> None:
    lock = locks.try_operation(store.root, container_id)
    if lock is None:
        return
    try:
        promise = locks.try_exit(store.root, container_id)
        if promise is None:
            return
        try:
            _book(store, records.by_id(store, container_id))
        except NotFoundError:
            return
        finally:
            os.close(promise)
    finally:
        os.close(lock)


def _book(store: Store, container: Container) -> None:
    if container.status == "restarting":
        exits.restart_later(store.root, container)
        return
    if container.status not in ("running", "paused") or is_running(container):
        return
    same_boot = container.boot_id == procfs.boot_id()
    if same_boot and monitor.is_alive(container):
        return  # conmon is about to start the process that books it
    ended = exits.book(store, container if same_boot else container._replace(stopped_by_user=True))
    if ended.status == "restarting":
        exits.restart_later(store.root, ended)


def _clear_bundle(store: Store, container_id: str) -> None:
    """Take down a start that was killed before its container was recorded as running."""
    lock = locks.try_operation(store.root, container_id)
    if lock is None:
        return
    try:
        try:
            container = records.by_id(store, container_id)
        except NotFoundError:
            remove_tree(store.root.bundle(container_id))
            return
        if not is_running(container):
            exits.abandon(store, container)
    finally:
        os.close(lock)


def remove_orphans(store: Store) -> None:
    """Delete directories without a row: a `create`, `rm`, `load` or the like was killed."""
    gc.discard_surplus(store)
    volumes.remove_orphans(store)
    home = store.root.containers
    known = {row["id"] for row in store.db.execute("SELECT id FROM containers")}
    for name in os.listdir(home):
        if name in known:
            continue
        lock = locks.try_operation(store.root, name)
        if lock is None:
            continue
        try:
            if not store.db.execute("SELECT 1 FROM containers WHERE id = ?", (name,)).fetchone():
                remove_tree(f"{home}/{name}")
                locks.remove(store.root, name)
        finally:
            os.close(lock)
    locks.remove_strays(store.root, known)
