"""`devbox system reset`: everything that a root keeps, taken away."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib

from devbox.container import life, overview
from devbox.errors import NotFoundError
from devbox.image import catalog, gc
from devbox.network import networks, teardown
from devbox.store.database import Store
from devbox.system.files import remove_tree
from devbox.volume import volumes


def reset(store: Store) -> None:
    """Remove all containers, running or not, then networks, volumes, images and what the host has of them."""
    remove_containers(store)
    networks.prune(store, lambda _: True)
    teardown.teardown(store)
    with store.transaction():
        store.db.execute("DELETE FROM endpoints")
        store.db.execute("DELETE FROM networks")
    volumes.prune(store, lambda _: True)
    for image in catalog.every(store):
        catalog.remove(store, image.id, force=True)
    with store.transaction():
        for table in ("build_steps", "build_memos", "build_mounts", "build_leases", "manifest_lists", "tag_moves"):
            store.db.execute(f"DELETE FROM {table}")
    gc.collect(store)
    gc.discard_surplus(store)
    remove_tree(store.root.caches)
    remove_tree(store.root.downloads)
    volumes.remove_orphans(store)
    remove_tree(store.root.run + "/seccomp")


def remove_containers(store: Store) -> None:
    """Kill them all at once, then remove one after the other; goes on until none is left."""
    while found := [each.container.id for each in overview.every(store)]:
        with life.killed(store, found):
            for container_id in found:
                with contextlib.suppress(NotFoundError):
                    life.remove(store, container_id, force=True, volumes_too=True)
