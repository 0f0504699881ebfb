"""What dead processes left: each command looks for it first, and loads the clean-up only when there is some."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from devbox.container.streams import logger
from devbox.store.database import Store
from devbox.store.root import Root
from devbox.store.scratch import sweep
from devbox.system import procfs

_LIVE = ("running", "paused", "restarting", "removing")


def reconcile(store: Store) -> None:
    """Book ended containers and clean up half-done starts and removals; cheap when there is nothing."""
    sweep(store.root, lambda: _remove_orphans(store))
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

        cleanup.clean(store, stale=stale, half_started=half_started, mute=mute)


def _remove_orphans(store: Store) -> None:
    from devbox.container import cleanup

    cleanup.remove_orphans(store)


def _bundles(root: Root) -> list[str]:
    try:
        return os.listdir(root.run + "/containers")
    except FileNotFoundError:
        return []
