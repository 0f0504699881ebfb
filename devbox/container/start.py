"""Start: claim, mount, create, plumb, let go, record; undone as one when any of it fails."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from devbox.container import health, locks, monitor, records, runtime, telling
from devbox.container.bundle import write_bundle
from devbox.container.exits import abandon, await_exit_file, book
from devbox.container.files import copyup
from devbox.container.files.mounting import mount_rootfs
from devbox.container.running import is_running
from devbox.container.spec import seccomp_cache
from devbox.container.streams import logger
from devbox.errors import DevboxError, StateError
from devbox.model.container import Container
from devbox.network import hosts, links, resolv
from devbox.store.database import Store
from devbox.system import process, procfs
from devbox.system.namespaces import private_mounts

if TYPE_CHECKING:
    from devbox.container import networking  # not loaded for a container without a network of its own

Join = Callable[[str], None]
"""called with the bundle once the container is created and before its process starts"""


def start(
    store: Store,
    container_id: str,
    *,
    join: Join | None = None,
    console_size: tuple[int, int] = (0, 0),
    restart: bool = False,
) -> Container:
    """Start a container that does not run; one that runs is left alone and returned as it is.

    `console_size` is the rows and columns of the terminal that is to be attached. `restart` starts only
    one that is "restarting", and counts on instead of from 0. Raises StateError for a paused container,
    ConflictError for a taken port or address, 126/127 errors for its command; all of it is undone then.
    """
    with locks.operation(store.root, container_id):
        container = _booked(store, records.by_id(store, container_id))
        if container.status == "paused":
            raise StateError(
                f"container {container.name} is paused", hint=f"use 'devbox unpause {container.name}'"
            )
        if container.status == "running" and is_running(container):
            return container
        if restart and container.status != "restarting":
            return container  # it was stopped meanwhile
        links.check_running(store, container)
        with _undone_on_failure(store, container):
            started = _start(store, container, join, console_size)
            started = _record(store, started, attached=join is not None, restart=restart)
    if started.config.endpoints:
        hosts.refresh_peers(store, container_id)
    if health.wanted(started):
        health.begin(store.root, started)
    return started


def _booked(store: Store, container: Container) -> Container:
    """One that has ended a moment ago, and whose end somebody is about to book, is booked here."""
    if container.status not in ("running", "paused") or is_running(container):
        return container
    await_exit_file(store, container)
    book(store, container)
    return records.by_id(store, container.id)


@contextlib.contextmanager
def _undone_on_failure(store: Store, container: Container) -> Iterator[None]:
    try:
        yield
    except DevboxError as error:
        abandon(store, container)
        failed = container._replace(exit_code=error.exit_code, error=error.message)
        with store.transaction():
            records.update(store, failed, "exit_code", "error")
        raise
    except BaseException:
        abandon(store, container)
        raise


def _start(store: Store, container: Container, join: Join | None, console_size: tuple[int, int]) -> Container:
    bundle = store.root.bundle(container.id)
    os.makedirs(bundle + "/exits", mode=0o700, exist_ok=True)
    process.seal()
    with contextlib.ExitStack() as held:
        claim = _claim_network(store, container, held)
        held.enter_context(logger.reading(store.root, container))
        conmon = _create(store, container, claim, console_size)
        try:
            _meanwhile(store, container, claim, joined=join is not None)
        finally:
            place = monitor.created(store.root, container, conmon)
    seccomp_cache.keep(store.root, container.id)
    started = container._replace(
        pid=place.pid,
        pid_start=procfs.start_time(place.pid),
        monitor_pid=place.monitor_pid,
        boot_id=procfs.boot_id(),
    )
    if join is not None:
        join(bundle)
    runtime.let_go(store.root, started)
    return started


def _create(
    store: Store, container: Container, claim: networking.Claim | None, console_size: tuple[int, int]
) -> monitor.Monitor:
    """Let conmon begin to create the container, in a mount namespace that only the two of them have."""
    with private_mounts():
        rootfs = mount_rootfs(store, container)
        copyup.populate(store, container, rootfs)
        write_bundle(store, container, rootfs, claim.netns if claim else None, console_size)
        return monitor.launch(store.root, container, held=claim.held if claim else ())


def _claim_network(
    store: Store, container: Container, descriptors: contextlib.ExitStack
) -> networking.Claim | None:
    claim = None
    if container.config.endpoints:
        from devbox.container import networking

        claim = networking.claim(store, container, descriptors)
    hosts.refresh(store, container.id)
    resolv.write(store, container)
    return claim


def _meanwhile(store: Store, container: Container, claim: networking.Claim | None, *, joined: bool) -> None:
    """What can be done, and loaded, while the runtime creates the container."""
    if joined:
        from devbox.container.streams import attach  # noqa: F401 - for whoever joins it
    if claim:
        from devbox.container import networking

        networking.connect(store, container, claim)


def _record(store: Store, container: Container, *, attached: bool, restart: bool) -> Container:
    running = container._replace(
        status="running",
        started=time.time(),
        finished=0.0,
        exit_code=0,
        oom_killed=False,
        error="",
        restart_count=container.restart_count + 1 if restart else 0,
        stopped_by_user=False,
        health=dict(health.STARTING) if health.wanted(container) else {},
    )
    with store.transaction():
        records.update(
            store, running,
            "status", "pid", "pid_start", "monitor_pid", "boot_id", "started", "finished", "exit_code",
            "oom_killed", "error", "restart_count", "stopped_by_user", "health",
        )  # fmt: skip
        if attached:
            records.announce(store, running, "attach")
        telling.volumes(store, running, "mount")
        records.announce(store, running, "start")
    return running
