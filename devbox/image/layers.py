"""Layers on disk: `layers/<row id>/diff` is the tree, made elsewhere, synced, then renamed there and recorded.

A layer that came from outside as a tar stream unlike our own has a `frame` beside its tree: what is needed to
write that stream again, byte for byte.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from devbox.errors import NotFoundError, StoreError
from devbox.model.image import Image
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system.files import remove_tree, sync_directory
from devbox.system.locks import locked, open_lock, try_lock
from devbox.system.syscalls import syncfs
from devbox.system.walk import open_root, opened

if TYPE_CHECKING:
    from devbox.image.tar.pack import Sink


class Prepared(NamedTuple):
    """A finished layer that is not recorded yet."""

    directory: str
    """on the store's file system; holds diff/ and perhaps frame; renamed into place or left to its owner"""
    diff_id: str
    canonical: str
    """digest of the canonical tar stream of the tree, by which `check` finds what was altered"""
    size: int


_holds: dict[str, int] = {}
"""descriptors by lock"""


def lower_directories(image: Image) -> tuple[str, ...]:
    """Names below `root.layers`, topmost first, as overlayfs wants them for lowerdir=.

    A layer that is in the image twice counts where it is topmost: there it hides what its other place adds.
    """
    return tuple(f"{layer}/diff" for layer in dict.fromkeys(reversed(image.layers)))


def directory(store: Store, layer_id: int) -> str:
    """The absolute path of a layer's tree."""
    return f"{store.root.layers}/{layer_id}/diff"


def measure(directory: str, *, diff_id: str = "") -> Prepared:
    """Digest the tree in `directory`/diff; without a `diff_id` from outside the canonical digest is it."""
    import hashlib

    from devbox.image.tar.pack import pack

    digest = hashlib.sha256()
    with opened(open_root(directory + "/diff")) as tree:
        packed = pack(tree, digest.update)
    canonical = "sha256:" + digest.hexdigest()
    return Prepared(directory, diff_id or canonical, canonical, packed.size)


def sync(store: Store) -> None:
    """Put everything of the store's file system on disk; StoreError when the disk does not take it."""
    fd = os.open(store.root.layers, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs(fd)
    except OSError as error:
        raise StoreError(f"cannot write to disk: {os.strerror(error.errno or 0).lower()}") from error
    finally:
        os.close(fd)


def record(store: Store, db: sqlite3.Connection, prepared: Sequence[Prepared]) -> dict[str, int]:
    """[tx] Rename synced layers into place and add their rows; the row ids by diff_id.

    Of a layer that somebody else recorded meanwhile theirs is taken.
    """
    ids: dict[str, int] = {}
    for layer in prepared:
        known = find(db, layer.diff_id)
        ids[layer.diff_id] = known if known is not None else _record_one(store, db, layer)
    if prepared:
        sync_directory(store.root.layers)
    return ids


def find(db: sqlite3.Connection, diff_id: str) -> int | None:
    """The layer with this diff_id."""
    row = db.execute("SELECT id FROM layers WHERE diff_id = ?", (diff_id,)).fetchone()
    return None if row is None else row["id"]


def _record_one(store: Store, db: sqlite3.Connection, layer: Prepared) -> int:
    return _take(store, db, layer.directory, (layer.diff_id, layer.canonical, layer.size, time.time()))


def _take(store: Store, db: sqlite3.Connection, directory: str, row: tuple[object, ...]) -> int:
    cursor = db.execute("INSERT INTO layers (diff_id, canonical, size, created) VALUES (?, ?, ?, ?)", row)
    place = f"{store.root.layers}/{cursor.lastrowid}"
    try:
        os.rename(directory, place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        # somebody died between this rename and its commit, so the id was given again
        remove_tree(place)
        os.rename(directory, place)
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def take_unmeasured(store: Store, db: sqlite3.Connection, directory: str, size: int) -> int:
    """[tx] Record a finished tree in `directory`/diff whose digest nobody may ever ask for; it need not be synced.

    The row keeps it only together with another that refers to it: a step of a build.
    """
    return _take(store, db, directory, (None, None, size, time.time()))


def measure_layer(store: Store, layer_id: int) -> Prepared:
    """What `note_digest` wants to know of a layer."""
    return measure(f"{store.root.layers}/{layer_id}")


def known_digest(store: Store, layer_id: int) -> str | None:
    """The diff_id of a layer, None while nobody has asked for it."""
    row = store.db.execute("SELECT diff_id FROM layers WHERE id = ?", (layer_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"no such layer: {layer_id}")
    return None if row["diff_id"] is None else str(row["diff_id"])


def note_digest(store: Store, db: sqlite3.Connection, layer_id: int, found: Prepared) -> int:
    """[tx] Write down what was measured of a layer that is held and synced: others may take it from now on.

    An equal layer that has the digest already takes its place, in steps of builds, too; its row id is returned.
    """
    equal = find(db, found.diff_id)
    if equal is None:
        db.execute(
            "UPDATE layers SET diff_id = ?, canonical = ?, size = ? WHERE id = ? AND diff_id IS NULL",
            (found.diff_id, found.canonical, found.size, layer_id),
        )
        return layer_id
    hold(store, equal)
    db.execute("UPDATE build_steps SET layer_id = ? WHERE layer_id = ?", (equal, layer_id))
    return equal


def adopt(store: Store, directory: str) -> int:
    """Make a layer of a finished upper directory by renaming it away; the row id.

    An equal layer that exists is taken instead. It is held against garbage collection until this process ends
    or an image refers to it.
    """
    with scratch(store.root, "layer") as place:
        os.rename(directory, place + "/diff")
        prepared = _in_own_directory(place)
        sync(store)
        with store.transaction() as db:
            layer_id = record(store, db, [prepared])[prepared.diff_id]
            hold(store, layer_id)
    return layer_id


def _in_own_directory(place: str) -> Prepared:
    os.mkdir(place + "/layer", 0o700)
    os.rename(place + "/diff", place + "/layer/diff")
    return measure(place + "/layer")


def diff_id(store: Store, layer_id: int) -> str:
    """The digest of a layer's uncompressed tar stream."""
    row = store.db.execute("SELECT diff_id FROM layers WHERE id = ?", (layer_id,)).fetchone()
    if row is None or row["diff_id"] is None:
        raise NotFoundError(f"no such layer: {layer_id}")
    return str(row["diff_id"])


def write_tar(store: Store, layer_id: int, write: Sink) -> None:
    """Write the tar stream whose digest is the layer's diff_id."""
    from devbox.image.tar.pack import pack

    frame = f"{store.root.layers}/{layer_id}/frame"
    with opened(open_root(directory(store, layer_id))) as tree:
        if os.path.exists(frame):
            from devbox.image.tar.frame import replay

            replay(frame, tree, write)
        else:
            pack(tree, write)


def tar_length(store: Store, layer_id: int) -> int:
    """How many bytes `write_tar` writes, told without reading the contents of files."""
    from devbox.image.tar.pack import Choice, pack

    frame = f"{store.root.layers}/{layer_id}/frame"
    if os.path.exists(frame):
        from devbox.image.tar.frame import length

        return length(frame)
    with opened(open_root(directory(store, layer_id))) as tree:
        return pack(tree, lambda _: None, choice=Choice(data=False)).length


def hold(store: Store, layer_id: int) -> None:
    """Keep garbage collection away from a layer until this process ends; then look that it is there."""
    path = _lock(store, layer_id)
    if path not in _holds:
        fd = open_lock(path)
        fcntl.flock(fd, fcntl.LOCK_SH)
        _holds[path] = fd


def release_all() -> None:
    """Hold nothing any more, as if this process had ended."""
    while _holds:
        os.close(_holds.popitem()[1])


@contextlib.contextmanager
def making(store: Store, diff_ids: Sequence[str]) -> Iterator[None]:
    """Be the only one who makes these layers; in order, so that two who want the same never wait in a circle."""
    with contextlib.ExitStack() as stack:
        for digest in sorted(set(diff_ids)):
            stack.enter_context(locked(f"{store.root.locks}/unpack-{digest.removeprefix('sha256:')}"))
        yield


def unheld(store: Store, layer_id: int) -> bool:
    """[tx] Whether no living process holds the layer."""
    fd = try_lock(_lock(store, layer_id))
    if fd is None:
        return False
    os.close(fd)
    return True


def _lock(store: Store, layer_id: int) -> str:
    return f"{store.root.locks}/layer-{layer_id}"
