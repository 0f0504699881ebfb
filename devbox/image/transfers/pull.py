"""`pull`: an image of a registry into the store; what is here already is not fetched."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from devbox.image import aside, catalog, config, layers, load
from devbox.image.archive import DirectoryArchive
from devbox.image.manifests import Blob as Stored
from devbox.image.progress import Progress, short
from devbox.image.transfers import forms, remote
from devbox.image.transfers.downloads import Downloads
from devbox.image.transfers.fetching import Fetching
from devbox.image.transfers.remote import RemoteImage
from devbox.model.image import Image
from devbox.model.reference import Reference, familiar
from devbox.registry import repository as registry
from devbox.registry.repository import Blob, Repository
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system.walk import open_root, opened


class How(NamedTuple):
    """In what manner images travel."""

    environ: Mapping[str, str]
    platform: str = ""
    """OS/ARCHITECTURE[/VARIANT], this machine's for "" """
    insecure: bool = False
    compression: str = "gzip"
    progress: Progress = Progress()
    base: bool = False
    """it is for a build: a name's only image is taken whatever it is for, and one for another machine leaves the
    tag as it is"""


class Pulled(NamedTuple):
    """An image that is here now."""

    image: Image
    digest: str
    """of what the reference names in the registry: a manifest or an index"""
    fresh: bool
    """whether the name meant something else before"""


def pull(store: Store, reference: Reference, how: How) -> Pulled:
    """Fetch what is missing of an image and let its name mean it.

    Raises NotFoundError, RegistryError, and RefusedError for what is hostile, and leaves nothing of it.
    """
    repository, top = registry.find(reference, how.environ, insecure=how.insecure)
    try:
        found = remote.read(repository, top, how.platform, strict=not how.base)
        image_id, fresh = _take(store, repository, found, how)
    finally:
        repository.close()
    return Pulled(catalog.by_id(store, image_id), top.digest, fresh)


def _take(store: Store, repository: Repository, found: RemoteImage, how: How) -> tuple[str, bool]:
    """Have an image in the store, and the reference mean it; its id, and whether that is news."""
    diff_ids = config.parse(found.document).diff_ids
    blobs = dict(zip(diff_ids, found.layers, strict=True))
    with (
        scratch(store.root, "pull") as place,
        Downloads(store.root) as downloads,
        load.missing(store, list(blobs)) as absent,
    ):
        for diff_id, blob in blobs.items():
            how.progress.state(short(blob.digest), "Pulling fs layer" if diff_id in absent else "Already exists")
        prepared = _fetch(
            repository, {diff_id: blobs[diff_id] for diff_id in absent}, place, downloads, how.progress
        )
        layers.sync(store)
        with store.transaction() as db:
            made = layers.record(store, db, prepared)
            ids = [made.get(diff_id) or layers.find(db, diff_id) or 0 for diff_id in diff_ids]
            image_id = catalog.insert(store, db, found.document, ids)
            for diff_id in absent:  # of what was here already nobody has seen the registry's bytes
                forms.note(db, blobs[diff_id], made[diff_id], repository.reference.repository)
            foreign = how.base and config.parse(found.document).architecture != config.architecture()
            name = _name_aside if foreign else _name
            return image_id, name(store, db, repository.reference, image_id, found)


def _name(store: Store, db: sqlite3.Connection, reference: Reference, image_id: str, found: RemoteImage) -> bool:
    """[tx] Let the reference mean an image from now on; False when it did already."""
    full = f"{reference.repository}@{found.top}"
    before = db.execute("SELECT image_id FROM image_digests WHERE name = ?", (full,)).fetchone()
    db.execute("INSERT OR REPLACE INTO image_digests (name, image_id) VALUES (?, ?)", (full, image_id))
    if reference.digest:
        fresh = before is None or before["image_id"] != image_id
    else:
        fresh = catalog.move_tag(store, db, reference.tagged, image_id, "pull")
    name = familiar(reference.name)
    store.event("image", "pull", name, {"name": familiar(reference.repository)})
    return fresh


def _name_aside(
    store: Store, db: sqlite3.Connection, reference: Reference, image_id: str, found: RemoteImage
) -> bool:
    """[tx] Let the reference mean an image for that image's platform."""
    full = f"{reference.repository}@{found.manifest.digest}"
    db.execute("INSERT OR REPLACE INTO image_digests (name, image_id) VALUES (?, ?)", (full, image_id))
    aside.keep(db, reference.name, image_id)
    store.event("image", "pull", familiar(reference.name), {"name": familiar(reference.repository)})
    return True


def _fetch(
    repository: Repository, wanted: Mapping[str, Blob], place: str, downloads: Downloads, progress: Progress
) -> list[layers.Prepared]:
    """Fetch and unpack layers, by diff_id, into directories of `place`: one is unpacked while others come."""
    prepared = []
    with Fetching(repository, list(wanted.values()), downloads, progress) as fetching:
        for number, (diff_id, blob) in enumerate(wanted.items()):
            path = fetching.wait_for(blob)
            progress.state(short(blob.digest), "Extracting")
            prepared.append(_unpack(path, diff_id, f"{place}/{number}"))
            progress.state(short(blob.digest), "Pull complete")
    return prepared


def _unpack(path: str, diff_id: str, target: str) -> layers.Prepared:
    directory, name = os.path.split(path)
    with contextlib.ExitStack() as stack:
        archive = DirectoryArchive(stack.enter_context(opened(open_root(directory))), stack)
        return load.unpack_layer(archive, Stored(name), diff_id, target)
