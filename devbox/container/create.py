"""Create: a row, a directory, its volumes and links, all of it or nothing."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import time
from typing import NamedTuple

from devbox.container import locks, names, records
from devbox.model.container import Container, ContainerConfig
from devbox.model.image import Image
from devbox.network import links
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system.files import sync_directory
from devbox.volume import volumes


class Request(NamedTuple):
    """What `create` makes a container from."""

    image: Image
    image_name: str
    """as the user wrote it"""
    config: ContainerConfig
    name: str = ""
    """empty: one of ours"""
    links: tuple[tuple[str, str], ...] = ()
    """(target, alias) pairs of --link"""
    id: str = ""
    """64 hex digits; empty: ones of ours"""


def create(store: Store, request: Request, *, durable: bool = True) -> Container:
    """Add a container in state "created"; all of it is on the disk when this returns, if it is to be `durable`.

    Raises ConflictError when the name is taken, and whatever links and volumes refuse.
    """
    container = Container(
        id=request.id or os.urandom(32).hex(),
        name=request.name,
        created=time.time(),
        image_id=request.image.id,
        image_name=request.image_name,
        config=request.config,
    )
    if request.name:
        records.check_name(request.name)
    _check_endpoints(store, request.config)
    # the lock keeps `reconcile` from taking the directory for an orphan before the row is committed
    with scratch(store.root, "create") as workspace, locks.operation(store.root, container.id):
        home = workspace + "/container"
        _make_directories(home)
        with store.transaction(durable=durable):
            if not container.name:
                container = container._replace(name=names.unused(store))
            records.insert(store, container)
            container = _claim_volumes(store, container)
            for target, alias in request.links:
                links.add(store, container.id, target, alias)
            os.rename(home, store.root.container(container.id))
            if durable:
                sync_directory(store.root.containers)
            records.announce(store, container, "create")
    return container


def _check_endpoints(store: Store, config: ContainerConfig) -> None:
    if config.endpoints:
        from devbox.network import endpoints  # not loaded for a container without a network of its own

        for wish in config.endpoints:
            endpoints.check(store, wish)


def _make_directories(home: str) -> None:
    os.mkdir(home, 0o700)
    os.mkdir(home + "/diff", 0o755)
    os.mkdir(home + "/work", 0o700)
    os.mkdir(home + "/log", 0o700)
    for name in ("hosts", "hostname", "resolv.conf"):
        os.close(os.open(f"{home}/{name}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _claim_volumes(store: Store, container: Container) -> Container:
    mounts = tuple(
        mount._replace(source=volumes.ensure(store, mount, container.id)) if mount.kind == "volume" else mount
        for mount in container.config.mounts
    )
    if mounts == container.config.mounts:
        return container
    container = container._replace(config=container.config._replace(mounts=mounts))
    records.update(store, container, "config")
    return container
