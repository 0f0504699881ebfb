"""How much of the disk devbox uses, and how much of that nothing needs."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from typing import NamedTuple

from devbox.container import overview
from devbox.container.overview import Overview
from devbox.image import catalog
from devbox.model.image import Image
from devbox.model.volume import Volume
from devbox.store.database import Store
from devbox.volume import usage, volumes


class ImageUse(NamedTuple):
    """An image; sizes in bytes."""

    image: Image
    tags: tuple[str, ...]
    shared: int
    """of its size, in layers that other images have too"""
    containers: int


class ContainerUse(NamedTuple):
    """A container with the bytes it wrote."""

    seen: Overview
    size: int


class VolumeUse(NamedTuple):
    """A volume with its bytes and the number of containers that have it."""

    volume: Volume
    size: int
    containers: int


class Accounts(NamedTuple):
    """Everything, in bytes."""

    images: tuple[ImageUse, ...]
    containers: tuple[ContainerUse, ...]
    volumes: tuple[VolumeUse, ...]
    layers: int
    """all layers of images, shared ones once"""
    layers_in_use: int
    """of these, what images of containers need"""


def of(store: Store) -> Accounts:
    """Count it all; walks the containers' files and the volumes."""
    sizes = {row["id"]: row["size"] for row in store.db.execute("SELECT id, size FROM layers")}
    images = catalog.every(store)
    holders: dict[int, int] = {}
    for image in images:
        for layer in set(image.layers):
            holders[layer] = holders.get(layer, 0) + 1
    users = dict(store.db.execute("SELECT image_id, count(*) FROM containers GROUP BY image_id").fetchall())
    needed = {layer for image in images if image.id in users for layer in image.layers}
    return Accounts(
        images=tuple(
            ImageUse(
                image,
                catalog.tags_of(store, image.id),
                sum(sizes.get(layer, 0) for layer in set(image.layers) if holders[layer] > 1),
                users.get(image.id, 0),
            )
            for image in images
        ),
        containers=tuple(
            ContainerUse(seen, usage.size(store.root.container(seen.container.id) + "/diff"))
            for seen in overview.every(store)
        ),
        volumes=tuple(
            VolumeUse(volume, usage.size(volume.mountpoint), len(volumes.users(store, volume.name)))
            for volume in volumes.every(store)
        ),
        layers=sum(sizes.get(layer, 0) for layer in holders),
        layers_in_use=sum(sizes.get(layer, 0) for layer in needed),
    )
