"""`load`: the images of an archive into the store, all of them or none."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from devbox.errors import RefusedError, StoreError
from devbox.image import catalog, config, layers, manifests
from devbox.image.archive import Archive, Member, opened_archive
from devbox.image.decompress import copy, decompressed, kind_of
from devbox.image.manifests import Blob, Found
from devbox.image.tar import frame
from devbox.image.tar.limits import Limits
from devbox.image.tar.source import Recorder, Slice, Source
from devbox.image.tar.unpack import Unpacked, extract
from devbox.model.reference import familiar
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system.syscalls import syncfs
from devbox.system.walk import open_root, opened

_DOCUMENTS_MAX = 32 << 20
Progress = Callable[[str], None]


class Loaded(NamedTuple):
    """An image that is in the store now."""

    id: str
    names: tuple[str, ...]
    """normalised"""


class _Wanted(NamedTuple):
    """An image that is read, but whose layers are not."""

    document: bytes
    diff_ids: tuple[str, ...]
    found: Found


def load(store: Store, path: str = "", *, progress: Progress = lambda _: None) -> list[Loaded]:
    """Load the archive or OCI directory at `path`, "" for stdin.

    Raises RefusedError for what is hostile, broken or could not run, and leaves nothing of it.
    """
    with scratch(store.root, "load") as place, opened_archive(path, place) as archive:
        images = _read_all(archive, manifests.find(archive))
        blobs: dict[str, Blob] = {}
        for image in images:
            blobs.update(zip(image.diff_ids, image.found.layers, strict=True))
        with missing(store, list(blobs)) as absent:
            prepared = []
            for number, diff_id in enumerate(absent, 1):
                progress(f"unpacking layer {number} of {len(absent)}: {diff_id.removeprefix('sha256:')[:12]}")
                prepared.append(unpack_layer(archive, blobs[diff_id], diff_id, f"{place}/{number}"))
            layers.sync(store)
            with store.transaction() as db:
                ids = layers.record(store, db, prepared)
                return [_record(store, db, image, ids) for image in images]


def _read_all(archive: Archive, found: Sequence[Found]) -> list[_Wanted]:
    """The images' configs; a thousand of them, or a thousand times the same, must not fill the memory."""
    images = []
    size = 0
    for one in found:
        images.append(_read(archive, one))
        size += len(images[-1].document)
        if size > _DOCUMENTS_MAX:
            raise RefusedError(f"the configs of the archive's images have more than {_DOCUMENTS_MAX} bytes")
    return images


def _read(archive: Archive, found: Found) -> _Wanted:
    document = manifests.read(archive, found.config)
    read = config.parse(document)
    if len(read.diff_ids) != len(found.layers):
        raise RefusedError(
            f"the archive has {len(found.layers)} layers of an image whose config lists {len(read.diff_ids)}"
        )
    for blob in found.layers:
        archive.member(blob.name)
    return _Wanted(document, read.diff_ids, found)


@contextlib.contextmanager
def missing(store: Store, diff_ids: Sequence[str]) -> Iterator[list[str]]:
    """The layers that the store lacks, which nobody else makes meanwhile; the others are held."""
    absent = _absent(store, diff_ids)
    with layers.making(store, absent):
        yield _absent(store, absent)


def _absent(store: Store, diff_ids: Sequence[str]) -> list[str]:
    """The layers that the store lacks; the others are held against garbage collection.

    In a transaction: none is in the middle of being collected, as one that no image has may be.
    """
    absent = []
    with store.transaction() as db:
        for diff_id in diff_ids:
            layer_id = layers.find(db, diff_id)
            if layer_id is None:
                absent.append(diff_id)
            else:
                layers.hold(store, layer_id)
    return absent


def unpack_layer(archive: Archive, blob: Blob, diff_id: str, place: str) -> layers.Prepared:
    """Unpack one layer into the new directory `place`, every byte checked against both its digests."""
    os.makedirs(place + "/diff")
    os.chmod(place + "/diff", 0o755)
    member = archive.member(blob.name)
    with opened(open_root(place + "/diff")) as tree, frame.Writer(place + "/frame") as recorder:
        unpacked = _stream(
            member, blob, diff_id, recorder, lambda source, limits: extract(source, tree, limits=limits)
        )
    with _written_meanwhile(place):
        prepared = layers.measure(place, diff_id=diff_id)
    if prepared.canonical == diff_id:
        os.unlink(place + "/frame")  # the tree tells the whole stream
    elif unpacked.replaced:
        _keep_whole(member, blob, diff_id, place + "/frame")
    return prepared


@contextlib.contextmanager
def _written_meanwhile(place: str) -> Iterator[None]:
    """Let the disk take what was unpacked while the block reads it; the sync before the record is short then.

    What fails is raised here: the kernel tells of it once.
    """
    failed: list[OSError] = []

    def write(fd: int) -> None:
        try:
            syncfs(fd)
        except OSError as error:
            failed.append(error)

    with opened(open_root(place)) as fd:
        thread = threading.Thread(target=write, args=(fd,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            thread.join()
    if failed:
        raise StoreError(f"cannot write to disk: {os.strerror(failed[0].errno or 0).lower()}") from failed[0]


def _keep_whole(member: Member, blob: Blob, diff_id: str, path: str) -> None:
    """Put the stream itself into the frame: the tree lost what a later entry replaced."""
    os.unlink(path)

    def record(source: Source, _: Limits) -> Unpacked:
        copy(source, lambda data: None)
        return Unpacked(0, 0)

    with frame.Writer(path) as recorder:
        _stream(member, blob, diff_id, recorder, record)


def _stream(
    member: Member,
    blob: Blob,
    diff_id: str,
    recorder: Recorder,
    take: Callable[[Source, Limits], Unpacked],
) -> Unpacked:
    """Let `take` read the plain bytes of a layer to their end, then compare both digests."""
    limits = Limits().for_input(member.size)
    stored, plain = hashlib.sha256(), hashlib.sha256()
    kind = kind_of(member.head())
    if kind:
        source = member.open(stored if blob.digest else None)  # what a pull fetched was hashed as it came
        with decompressed(source, kind, fast=True) as stream:
            taken = take(Source(stream, limit=limits.size, hasher=plain, recorder=recorder), limits)
    else:
        stored = plain
        source = Slice(*member, limit=limits.size, hasher=plain, recorder=recorder)
        taken = take(source, limits)
    if blob.digest and "sha256:" + stored.hexdigest() != blob.digest:
        raise RefusedError(f"the archive's blob {blob.digest} is damaged: its digest is another")
    if "sha256:" + plain.hexdigest() != diff_id:
        raise RefusedError(
            f"the archive's layer {blob.name[:100]!r} is damaged: its content is not {diff_id}",
        )
    return taken


def _record(store: Store, db: sqlite3.Connection, image: _Wanted, made: Mapping[str, int]) -> Loaded:
    """[tx] The rows of one image."""
    ids = [made[diff_id] if diff_id in made else layers.find(db, diff_id) for diff_id in image.diff_ids]
    image_id = catalog.insert(store, db, image.document, [layer or 0 for layer in ids])
    for name in image.found.names:
        catalog.move_tag(store, db, name, image_id, "load")
    shown = familiar(image.found.names[0]) if image.found.names else image_id
    store.event("image", "load", image_id, {"name": shown})
    return Loaded(image_id, image.found.names)
