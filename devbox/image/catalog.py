"""The images of the store: rows, tags and their moves, repository digests; found by any of them."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import re
import sqlite3
import time
from collections.abc import Sequence

from devbox.errors import ConflictError, NotFoundError, StoreError, UsageError
from devbox.image import config
from devbox.model.image import Image
from devbox.model.reference import familiar, parse, parse_tagged
from devbox.store.database import Store

_HEX = r"[0-9a-f]{1,64}"
_COLUMNS = "id, size, document"


def by_id(store: Store, image_id: str) -> Image:
    """The image with this "sha256:..." id."""
    row = store.db.execute(f"SELECT {_COLUMNS} FROM images WHERE id = ?", (image_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"no such image: {image_id}")
    return _image(store, row)


def find(store: Store, reference: str) -> Image:
    """The image meant by a tag, NAME@DIGEST, an id or an unambiguous beginning of an id."""
    return by_id(store, find_id(store, reference))


def find_id(store: Store, reference: str) -> str:
    """As `find`, but only the id; UsageError for what no image can be called."""
    found = _by_name(store, reference) or _by_prefix(store, reference)
    if found is None:
        if not re.fullmatch(_HEX, reference):
            parse(reference)
        raise NotFoundError(
            f"no such image: {reference}",
            hint="list images with 'devbox images', make one with 'devbox bootstrap', or load one",
        )
    return found


def tag_meant(store: Store, reference: str) -> str | None:
    """The normalised tag that `reference` is, None when it is an id or a digest."""
    try:
        wanted = parse(reference)
    except UsageError:
        return None
    name = wanted.tagged
    known = store.db.execute("SELECT 1 FROM tags WHERE name = ?", (name,)).fetchone()
    return name if known and not wanted.digest else None


def _by_name(store: Store, reference: str) -> str | None:
    name = tag_meant(store, reference)
    if name is not None:
        row = store.db.execute("SELECT image_id FROM tags WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row["image_id"])
    with contextlib.suppress(UsageError):
        wanted = parse(reference)
        if wanted.digest:
            full = f"{wanted.repository}@{wanted.digest}"
            row = store.db.execute("SELECT image_id FROM image_digests WHERE name = ?", (full,)).fetchone()
            return None if row is None else str(row["image_id"])
    return None


def _by_prefix(store: Store, reference: str) -> str | None:
    digits = reference.removeprefix("sha256:")
    if not re.fullmatch(_HEX, digits):
        return None
    begin = "sha256:" + digits
    rows = store.db.execute(
        "SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2", (begin, begin + "g")
    ).fetchall()
    if len(rows) > 1:
        raise NotFoundError(f"more than one image has an id that starts with {digits}", hint="give more digits")
    return str(rows[0]["id"]) if rows else None


def every(store: Store) -> list[Image]:
    """All images, the newest first."""
    rows = store.db.execute(f"SELECT {_COLUMNS} FROM images ORDER BY created DESC, id").fetchall()
    return [_image(store, row) for row in rows]


def _image(store: Store, row: sqlite3.Row) -> Image:
    document = config.parse(row["document"].encode())
    layers = store.db.execute(
        "SELECT layer_id FROM image_layers WHERE image_id = ? ORDER BY position", (row["id"],)
    ).fetchall()
    return Image(
        id=row["id"],
        created=document.created,
        architecture=document.architecture,
        os=document.os,
        variant=document.variant,
        config=document.config,
        layers=tuple(layer["layer_id"] for layer in layers),
        diff_ids=document.diff_ids,
        history=document.history,
        size=row["size"],
        author=document.author,
        comment=document.comment,
    )


def document(store: Store, image_id: str) -> bytes:
    """The config document of an image, byte for byte."""
    row = store.db.execute("SELECT document FROM images WHERE id = ?", (image_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"no such image: {image_id}")
    data: bytes = row["document"].encode()
    return data


def tags_of(store: Store, image_id: str) -> tuple[str, ...]:
    """Normalised names, sorted."""
    rows = store.db.execute("SELECT name FROM tags WHERE image_id = ? ORDER BY name", (image_id,))
    return tuple(row["name"] for row in rows)


def digests_of(store: Store, image_id: str) -> tuple[str, ...]:
    """Normalised name@sha256:..., sorted."""
    rows = store.db.execute("SELECT name FROM image_digests WHERE image_id = ? ORDER BY name", (image_id,))
    return tuple(row["name"] for row in rows)


def users_of(store: Store, image_id: str) -> list[sqlite3.Row]:
    """Rows (id, name, status) of the containers made from an image."""
    return store.db.execute(
        "SELECT id, name, status FROM containers WHERE image_id = ? ORDER BY created", (image_id,)
    ).fetchall()


def add(
    store: Store, document: bytes, layer_ids: Sequence[int], *, names: Sequence[str] = (), reason: str
) -> Image:
    """Record an image over layers that are recorded already; one that is there gets the further names."""
    with store.transaction() as db:
        image_id = insert(store, db, document, layer_ids)
        for name in names:
            move_tag(store, db, parse_tagged(name).tagged, image_id, reason)
        store.event("image", reason, image_id, {"name": names[0] if names else image_id})
    return by_id(store, image_id)


def insert(store: Store, db: sqlite3.Connection, document: bytes, layer_ids: Sequence[int]) -> str:
    """[tx] The rows of an image; its id."""
    import hashlib

    read = config.parse(document)
    image_id = "sha256:" + hashlib.sha256(document).hexdigest()
    size = 0
    for diff_id, layer_id in zip(read.diff_ids, layer_ids, strict=True):
        row = db.execute("SELECT size FROM layers WHERE id = ? AND diff_id = ?", (layer_id, diff_id)).fetchone()
        if row is None:
            raise StoreError(f"layer {layer_id} of {image_id} is gone", hint="try again")
        size += row["size"]
    db.execute(
        "INSERT OR IGNORE INTO images (id, created, architecture, os, variant, size, document)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (image_id, read.created, read.architecture, read.os, read.variant, size, document.decode()),
    )
    # also of an image that is there: a layer of it may have been found damaged
    db.executemany(
        "INSERT OR REPLACE INTO image_layers (image_id, position, layer_id) VALUES (?, ?, ?)",
        [(image_id, position, layer_id) for position, layer_id in enumerate(layer_ids)],
    )
    return image_id


def tag(store: Store, image_id: str, name: str, reason: str) -> None:
    """Let a name mean this image from now on; UsageError for a malformed one."""
    with store.transaction() as db:
        if move_tag(store, db, parse_tagged(name).tagged, image_id, reason):
            store.event("image", "tag", image_id, {"name": familiar(parse_tagged(name).tagged)})


def move_tag(store: Store, db: sqlite3.Connection, name: str, image_id: str | None, reason: str) -> bool:
    """[tx] Point a normalised name at an image, or at none, and write that down; False when it does already."""
    before = db.execute("SELECT image_id FROM tags WHERE name = ?", (name,)).fetchone()
    if (before["image_id"] if before else None) == image_id:
        return False
    if image_id is None:
        db.execute("DELETE FROM tags WHERE name = ?", (name,))
        db.execute("DELETE FROM tag_platforms WHERE name = ?", (name,))
    else:
        if before is not None:
            _set_aside(db, name, before["image_id"], image_id)
        db.execute("INSERT OR REPLACE INTO tags (name, image_id) VALUES (?, ?)", (name, image_id))
    db.execute(
        "INSERT INTO tag_moves (name, image_id, at, reason) VALUES (?, ?, ?, ?)",
        (name, image_id, time.time(), reason),
    )
    return True


def _set_aside(db: sqlite3.Connection, name: str, old: str, new: str) -> None:
    """[tx] An image that gives its name to one for another platform goes on to be the name's for its own."""
    db.execute(
        "INSERT OR REPLACE INTO tag_platforms (name, platform, image_id)"
        " SELECT ?, old.architecture || '/' || old.variant, old.id FROM images old, images new"
        " WHERE old.id = ? AND new.id = ? AND old.architecture <> new.architecture",
        (name, old, new),
    )


def remove(store: Store, reference: str, *, force: bool = False) -> list[str]:
    """Take a tag away, and with its last name the image; docker's lines of what was done.

    Raises ConflictError, naming the container, for an image in use. With `force` the names of such an image
    are taken away, and it stays for its containers.
    """
    from devbox.image import gc

    with store.transaction() as db:
        image_id = find_id(store, reference)
        name = tag_meant(store, reference)
        names = tags_of(store, image_id)
        if "@" in reference and names:
            return _undigest(db, reference)
        if name is not None and len(names) > 1:
            return untag(store, db, image_id, [name])
        if name is None and len(names) > 1 and not force:
            raise ConflictError(
                f"image {short(image_id)} has several names: {', '.join(map(familiar, names))}",
                hint="remove it by name, or all of them with -f",
            )
        users = users_of(store, image_id)
        if users and not (force and names):
            raise _in_use(image_id, users)
        lines = untag(store, db, image_id, names)
        if not users:
            lines += delete(store, db, image_id)
    if not users:
        lines += [f"Deleted: {diff_id}" for diff_id in gc.collect(store).diff_ids]
    return lines


def delete(store: Store, db: sqlite3.Connection, image_id: str) -> list[str]:
    """[tx] The rows of an image that has no tag and no container; what was deleted, as docker says it."""
    lines = [f"Untagged: {familiar(name)}" for name in digests_of(store, image_id)]
    db.execute("DELETE FROM images WHERE id = ?", (image_id,))
    store.event("image", "delete", image_id, {"name": image_id})
    return [*lines, f"Deleted: {image_id}"]


def untag(store: Store, db: sqlite3.Connection, image_id: str, names: Sequence[str]) -> list[str]:
    """[tx] Take names away from an image; what was done, as docker says it."""
    for name in names:
        move_tag(store, db, name, None, "rmi")
        store.event("image", "untag", image_id, {"name": familiar(name)})
    return [f"Untagged: {familiar(name)}" for name in names]


def _undigest(db: sqlite3.Connection, reference: str) -> list[str]:
    wanted = parse(reference)
    name = f"{wanted.repository}@{wanted.digest}"
    db.execute("DELETE FROM image_digests WHERE name = ?", (name,))
    return [f"Untagged: {familiar(name)}"]


def _in_use(image_id: str, users: Sequence[sqlite3.Row]) -> ConflictError:
    first = users[0]
    more = f" and {len(users) - 1} more" if len(users) > 1 else ""
    state = "running " if first["status"] in ("running", "paused", "restarting") else ""
    return ConflictError(
        f"image {short(image_id)} is in use by {state}container {first['name']} ({first['id'][:12]}){more}",
        hint=f"remove it first: devbox rm {'-f ' if state else ''}{first['name']}",
    )


def short(image_id: str) -> str:
    """The 12 digits that listings show."""
    return image_id.removeprefix("sha256:")[:12]
