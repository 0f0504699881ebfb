"""Cleaning up after dead processes; every step leaves alone what a living one has locked."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import signal
from collections.abc import Iterable

from devbox.container import cgroups, exits, locks, monitor, records, runtime
from devbox.container.running import is_running
from devbox.container.streams import logger
from devbox.errors import NotFoundError
from devbox.image import gc
from devbox.model.container import Container, ContainerConfig
from devbox.network import networks
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
    if container.status == "removing":
        exits.erase(store, container, volumes_too=True)
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
            _clear_nameless(store, container_id)
            return
        if not is_running(container):
            exits.abandon(store, container)
    finally:
        os.close(lock)


def _clear_nameless(store: Store, container_id: str) -> None:
    """A container that never had a row: a step of a build that was killed, or one whose row is gone."""
    _end_runtime(container_id)
    cgroups.destroy(container_id)
    runtime.delete_from_runtime(store.root, Container(container_id, "of a build", 0.0, "", "", ContainerConfig()))
    remove_tree(store.root.bundle(container_id))
    locks.remove(store.root, container_id)


def _end_runtime(container_id: str) -> None:
    """Kill the runtime that waits for a container's end: it would clean up at the same time."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            if os.fsdecode(os.path.basename(words[0])) in runtime.RUNTIMES and container_id.encode() in words:
                os.kill(int(name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            continue


def remove_orphans(store: Store) -> None:
    """Delete directories and bridges without a row: a `create`, `rm`, `load` or the like was killed."""
    gc.discard_surplus(store)
    volumes.remove_orphans(store)
    networks.remove_orphans(store)
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
