"""Restart policies: bring a container back after its back-off, and all of them after a reboot."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import time

from devbox.container import exits, locks, records
from devbox.container.running import is_running
from devbox.container.start import start
from devbox.errors import DevboxError, NotFoundError
from devbox.model.container import Container
from devbox.network import links
from devbox.store.database import Store
from devbox.system.namespaces import unmount_below

BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_MAXIMUM_SECONDS = 60.0
STEADY_SECONDS = 10.0
"""a container that ran this long starts its back-off anew"""
_LOOK_SECONDS = 1.0
"""so soon the process that waits knows that it waits in vain"""


def exited(store: Store, container_id: str) -> None:
    """What conmon calls when a container has ended: book it, and see that it comes back if its policy says so.

    The flock(1) that started us holds the exit lock until we end, so waiting out the back-off is left to another.
    """
    # conmon's mount namespace is ours, too, and still has the container's mounts in the bundle that is to go
    unmount_below(store.root.bundle(container_id))
    try:
        with locks.operation(store.root, container_id):
            container = records.by_id(store, container_id)
            if container.status in ("running", "paused") and not is_running(container):
                container = exits.book(store, container)
    except NotFoundError:
        return
    if container.status == "restarting":
        exits.restart_later(store.root, container)


def bring_back(store: Store, container_id: str) -> None:
    """Wait out the back-off and start a container that is "restarting"; a failing start counts as an exit."""
    single = locks.try_restart(store.root, container_id)
    if single is None:
        return
    try:
        while _waited(store, container_id, single):
            try:
                start(store, container_id, restart=True)
                return
            except NotFoundError:
                return
            except DevboxError as error:
                _count_failure(store, container_id, error)
    finally:
        os.close(single)


def _waited(store: Store, container_id: str, memory: int) -> bool:
    """Sleep for the back-off; whether the container still waits to be restarted then.

    `memory` is the lock's file, which remembers how long the last one was.
    """
    try:
        left = backoff(records.by_id(store, container_id), _remembered(memory))
        os.pwrite(memory, b"%-20r" % left, 0)
        while left > 0 and records.by_id(store, container_id).status == "restarting":
            time.sleep(min(left, _LOOK_SECONDS))
            left -= _LOOK_SECONDS
        return records.by_id(store, container_id).status == "restarting"
    except NotFoundError:
        return False


def _remembered(memory: int) -> float:
    try:
        return float(os.pread(memory, 20, 0))
    except ValueError:
        return 0.0


def backoff(container: Container, last: float) -> float:
    """Seconds to wait before the next start: 0.1, doubled each time, at most a minute.

    It begins anew after a start by hand and after a steady run.
    """
    if not container.restart_count or container.finished - container.started >= STEADY_SECONDS:
        return BACKOFF_FIRST_SECONDS
    return min(max(last * 2, BACKOFF_FIRST_SECONDS), BACKOFF_MAXIMUM_SECONDS)


def _count_failure(store: Store, container_id: str, error: DevboxError) -> None:
    with locks.operation(store.root, container_id), store.transaction():
        container = records.by_id(store, container_id)
        if container.status != "restarting":
            return
        failed = container._replace(
            restart_count=container.restart_count + 1,
            exit_code=error.exit_code,
            error=error.message,
            finished=time.time(),
            started=time.time(),
        )
        if not exits.wants_restart(failed):
            failed = failed._replace(status="exited")
        records.update(store, failed, "restart_count", "exit_code", "error", "finished", "started", "status")


def restore(store: Store) -> list[tuple[str, DevboxError]]:
    """Start what ran, or should always run, before the machine was switched off; returns the failures.

    Targets of links come before their consumers.
    """
    wanted = {container.id: container.name for container in records.every(store) if _comes_back(container)}
    failures = []
    for container_id in links.targets_first(store, list(wanted)):
        try:
            start(store, container_id)
        except DevboxError as error:
            failures.append((wanted[container_id], error))
    return failures


def _comes_back(container: Container) -> bool:
    if container.status in ("running", "paused", "restarting") or not container.started:
        return False
    policy = container.config.restart.name
    return policy == "always" or (policy == "unless-stopped" and not container.stopped_by_user)
