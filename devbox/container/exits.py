"""What is done once when a container has ended, and when it goes."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import select
import time

from devbox.container import again, cgroups, locks, monitor, records, telling
from devbox.container.runtime import delete_from_runtime, deleting
from devbox.container.streams import logger
from devbox.model.container import Container
from devbox.network import hosts
from devbox.store.database import Store
from devbox.store.root import Root
from devbox.store.scratch import scratch
from devbox.system import process, procfs
from devbox.system.files import remove_tree
from devbox.volume import volumes

LOST_EXIT_CODE = 255
"""of a container whose end nobody saw: the machine was switched off"""
EXIT_FILE_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.001


def book(store: Store, container: Container) -> Container:
    """Record that a container has ended, and give back what it held.

    The caller holds the operation lock. Returns the container as it is now: "exited", or "restarting" when its
    policy wants it back (the caller sees to that), unless it was removed by --rm.
    """
    code = monitor.read_exit(store.root.bundle(container.id))
    ended = container._replace(
        status="exited",
        pid=0,
        pid_start=0,
        monitor_pid=0,
        exit_code=LOST_EXIT_CODE if code is None else code,
        finished=time.time(),
        oom_killed=monitor.was_oom_killed(store.root.bundle(container.id)),
        error="",
    )
    if wants_restart(ended):
        ended = ended._replace(status="restarting")
    goes = ended.config.auto_remove and ended.status == "exited"
    # should we die between the two, the next command removes it
    release(store, ended._replace(status="removing") if goes else ended)
    if goes:
        erase(store, ended, volumes_too=True)
    return ended


def release(store: Store, container: Container) -> None:
    """Write a container's end to its row and take down its bundle, runtime state and network."""
    has_network = bool(container.config.endpoints)
    with deleting(store.root, container):
        if has_network:
            _unpublish(store, container.id)
        # the end of a --rm container is found again by the next command; its removal is what counts
        with store.transaction(durable=not container.config.auto_remove):
            records.update(
                store, container,
                "status", "pid", "pid_start", "monitor_pid", "exit_code", "finished", "oom_killed", "error",
            )  # fmt: skip
            if container.oom_killed:
                records.announce(store, container, "oom")
            records.announce(store, container, "die", exitCode=str(container.exit_code))
            if has_network:
                _release_endpoints(store, container.id)
            telling.volumes(store, container, "unmount")
        if has_network:
            hosts.refresh_peers(store, container.id)
    remove_tree(store.root.bundle(container.id))


def abandon(store: Store, container: Container) -> None:
    """Take down a start that never came to be recorded; the container's row stays as it is."""
    monitor.end(container)
    delete_from_runtime(store.root, container)
    cgroups.destroy(container.id)
    if container.config.endpoints:
        _unpublish(store, container.id)
        with store.transaction():
            _release_endpoints(store, container.id)
    remove_tree(store.root.bundle(container.id))


def _unpublish(store: Store, container_id: str) -> None:
    from devbox.network import firewall  # not loaded for a container without a network

    firewall.withdraw(store, container_id)


def _release_endpoints(store: Store, container_id: str) -> None:
    from devbox.network import endpoints

    endpoints.release(store, container_id)


def await_exit_file(store: Store, container: Container) -> None:
    """Give conmon, which has just seen the container end, the time to write down its exit code."""
    bundle = store.root.bundle(container.id)
    deadline = time.monotonic() + EXIT_FILE_WAIT_SECONDS
    while monitor.read_exit(bundle) is None and monitor.is_alive(container):
        if time.monotonic() > deadline:
            return
        time.sleep(_POLL_SECONDS)


def restart_later(root: Root, container: Container) -> None:
    """Start the process that waits out the back-off and starts the container again, unless there is one."""
    single = locks.try_restart(root, container.id)
    if single is not None:
        os.close(single)
        again.detached(root, "restart", container.id)


def wants_restart(container: Container) -> bool:
    """Whether the restart policy applies to a container that has just ended."""
    policy = container.config.restart
    if container.stopped_by_user:
        return False
    if policy.name == "on-failure":
        return container.exit_code != 0 and (not policy.maximum or container.restart_count < policy.maximum)
    return policy.name in ("always", "unless-stopped")


def erase(store: Store, container: Container, *, volumes_too: bool) -> None:
    """Delete a container that does not run: its row first, then its files; anonymous volumes on request."""
    home = store.root.container(container.id)
    logger.discard(store.root, container.id)
    with scratch(store.root, "remove") as workspace:
        with store.transaction():
            orphans = volumes.anonymous_of(store, container.id) if volumes_too else ()
            store.db.execute("DELETE FROM containers WHERE id = ?", (container.id,))
            records.announce(store, container, "destroy")
        if os.path.lexists(home):
            os.rename(home, workspace + "/container")
    for name in orphans:
        volumes.remove_if_unused(store, name)
    remove_tree(store.root.bundle(container.id))
    locks.remove(store.root, container.id)


def await_death(container: Container, timeout: float | None) -> bool:
    """Wait until a container's first process has ended; False when `timeout` seconds pass before."""
    try:
        handle = os.pidfd_open(container.pid)
    except ProcessLookupError:
        return True
    try:
        if not procfs.alive(container.pid, container.pid_start):
            return True
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(None if timeout is None else min(timeout * 1000, process.LONGEST_POLL)))
    finally:
        os.close(handle)
