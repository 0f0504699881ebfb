"""Start: claim, mount, create, plumb, let go, record; undone as one when any of it fails."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from devbox.container import health, locks, monitor, records, runtime, telling
from devbox.container.bundle import write_bundle
from devbox.container.exits import abandon, is_running
from devbox.container.files import copyup
from devbox.container.files.mounting import mount_rootfs
from devbox.container.spec import seccomp_cache
from devbox.container.streams import logger
from devbox.errors import DevboxError, StateError
from devbox.model.container import Container
from devbox.model.network import Endpoint
from devbox.network import endpoints, hosts, links, plumbing, ports, resolv
from devbox.store.database import Store
from devbox.system import process, procfs
from devbox.system.namespaces import private_mounts

Attach = Callable[[str], None]
"""called with the bundle once the container is created and before its process starts"""


class _Network(NamedTuple):
    endpoints: tuple[Endpoint, ...] = ()
    held: tuple[int, ...] = ()
    """sockets that keep its published ports"""
    netns: int | None = None


def start(
    store: Store,
    container_id: str,
    *,
    attach: Attach | None = None,
    console_size: tuple[int, int] = (0, 0),
    restart: bool = False,
) -> Container:
    """Start a container that does not run; one that runs is left alone and returned as it is.

    `console_size` is the rows and columns of the terminal that is to be attached. `restart` starts only
    one that is "restarting", and counts on instead of from 0. Raises StateError for a paused container,
    ConflictError for a taken port or address, 126/127 errors for its command; all of it is undone then.
    """
    with locks.operation(store.root, container_id):
        container = records.by_id(store, container_id)
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
            started = _start(store, container, attach, console_size)
            started = _record(store, started, attached=attach is not None, restart=restart)
    if started.config.endpoints:
        hosts.refresh_peers(store, container_id)
    if health.wanted(started):
        health.begin(store.root, started)
    return started


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


def _start(store: Store, container: Container, attach: Attach | None, console_size: tuple[int, int]) -> Container:
    bundle = store.root.bundle(container.id)
    os.makedirs(bundle + "/exits", mode=0o700, exist_ok=True)
    process.seal()
    with contextlib.ExitStack() as held:
        network = _claim_network(store, container, held)
        pending = plumbing.begin(store, network.netns, network.endpoints) if network.netns is not None else None
        held.enter_context(logger.reading(store.root, container))
        conmon = _create(store, container, network, console_size)
        try:
            if pending is not None:
                _open_network(store, container, network, pending)
        finally:
            place = monitor.created(store.root, container, conmon)
    seccomp_cache.keep(store.root, container.id)
    started = container._replace(
        pid=place.pid,
        pid_start=procfs.start_time(place.pid),
        monitor_pid=place.monitor_pid,
        boot_id=procfs.boot_id(),
    )
    if attach is not None:
        attach(bundle)
    runtime.let_go(store.root, started)
    return started


def _open_network(store: Store, container: Container, network: _Network, pending: plumbing.Pending) -> None:
    from devbox.network import firewall  # loaded while the runtime creates the container

    if network.held:
        firewall.publish(store, container.id)
    elif network.endpoints:
        firewall.ensure(store)
    plumbing.finish(pending)


def _create(
    store: Store, container: Container, network: _Network, console_size: tuple[int, int]
) -> monitor.Monitor:
    """Let conmon begin to create the container, in a mount namespace that only the two of them have."""
    with private_mounts():
        rootfs = mount_rootfs(store, container)
        copyup.populate(store, container, rootfs)
        write_bundle(store, container, rootfs, network.netns, console_size)
        return monitor.launch(store.root, container, held=network.held)


def _claim_network(store: Store, container: Container, descriptors: contextlib.ExitStack) -> _Network:
    network = _Network()
    if container.config.endpoints:
        with store.transaction(durable=False):
            places = endpoints.allocate(store, container)
            bindings = ports.claim(store, container, places)
        held = ports.hold(bindings)
        for fd in held:
            descriptors.callback(os.close, fd)
        netns = plumbing.netns_new()
        descriptors.callback(os.close, netns)
        network = _Network(places, tuple(held), netns)
    hosts.refresh(store, container.id)
    resolv.write(store, container)
    return network


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
