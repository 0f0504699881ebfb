"""What dead processes left: ended containers are booked, half-done starts and removals cleaned up."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from devbox.container import exits, locks, logger, records
from devbox.container.exits import is_running
from devbox.errors import NotFoundError
from devbox.image import gc
from devbox.model.container import Container
from devbox.store.database import Store
from devbox.store.root import Root
from devbox.store.scratch import sweep
from devbox.system import procfs
from devbox.system.files import remove_tree
from devbox.volume import volumes

_LIVE = ("running", "paused", "restarting", "removing")


def reconcile(store: Store) -> None:
    """Clean what dead processes left; cheap when there is nothing."""
    sweep(store.root, lambda: _remove_orphans(store))
    rows = store.db.execute(
        "SELECT id, status, pid, pid_start, monitor_pid, boot_id FROM containers WHERE status IN (?, ?, ?, ?)",
        _LIVE,
    ).fetchall()
    live = {
        row["id"]
        for row in rows
        if row["boot_id"] == procfs.boot_id() and procfs.alive(row["pid"], row["pid_start"])
    }
    for container_id in live:
        _revive_logger(store, container_id)
    stale = {row["id"] for row in rows} - live
    for container_id in stale:
        _settle(store, container_id)
    for container_id in _bundles(store.root):
        if container_id not in live and container_id not in stale:
            _clear_bundle(store, container_id)


def _revive_logger(store: Store, container_id: str) -> None:
    if not logger.is_alive(store.root, container_id):
        try:
            logger.revive(store.root, records.by_id(store, container_id))
        except NotFoundError:
            return


def _bundles(root: Root) -> list[str]:
    try:
        return os.listdir(root.run + "/containers")
    except FileNotFoundError:
        return []


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
    if same_boot and procfs.start_time(container.monitor_pid):
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


def _remove_orphans(store: Store) -> None:
    """Delete directories without a row: a `create`, `rm`, `load` or the like was killed."""
    gc.discard_surplus(store)
    volumes.remove_orphans(store)
    home = store.root.state + "/containers"
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
