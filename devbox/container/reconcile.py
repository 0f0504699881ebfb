"""What dead processes left: each command looks for it first, and loads the clean-up only when there is some."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import sqlite3
from collections.abc import Iterator

from devbox.container.streams import logger
from devbox.errors import StoreError
from devbox.store.database import Store, is_fault
from devbox.store.root import Root
from devbox.store.scratch import sweep
from devbox.system import procfs

_LIVE = ("running", "paused", "restarting", "removing")


def reconcile(store: Store) -> None:
    """Book ended containers and clean up half-done starts and removals; cheap when there is nothing."""
    with _as_far_as_the_disk_lets():
        sweep(store.root, lambda name: _take_back(store, name))
    rows = store.db.execute(
        "SELECT id, pid, pid_start, boot_id FROM containers WHERE status IN (?, ?, ?, ?)", _LIVE
    ).fetchall()
    live = {
        row["id"]
        for row in rows
        if row["boot_id"] == procfs.boot_id() and procfs.alive(row["pid"], row["pid_start"])
    }
    stale = {row["id"] for row in rows} - live
    half_started = set(_bundles(store.root)) - live - stale
    mute = {container_id for container_id in live if not logger.is_alive(store.root, container_id)}
    if stale or half_started or mute:
        from devbox.container import cleanup

        with _as_far_as_the_disk_lets():
            cleanup.clean(store, stale=stale, half_started=half_started, mute=mute)


@contextlib.contextmanager
def _as_far_as_the_disk_lets() -> Iterator[None]:
    """A full or failing disk stops no command that only looks, or frees: a later one cleans up."""
    try:
        yield
    except (OSError, sqlite3.Error, StoreError) as error:
        if not is_fault(error):
            raise


def _take_back(store: Store, name: str) -> bool:
    from devbox.container import cleanup, making

    cleanup.remove_orphans(store)
    return making.take_back(store, name)


def _bundles(root: Root) -> list[str]:
    try:
        return os.listdir(root.run + "/containers")
    except FileNotFoundError:
        return []
