"""What a name meant over time: every move of a tag is a version that can be read, kept and gone back to."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import itertools
import re
import sqlite3
from typing import NamedTuple

from devbox.errors import NotFoundError, StateError
from devbox.image import catalog
from devbox.model.image import Image
from devbox.model.reference import familiar, parse_tagged
from devbox.store.database import Store

KEPT = 5
"""images of each name that pruning leaves, the current one counted"""
_ROLLED_BACK = re.compile(r"rollback to ([0-9]+)")


class Version(NamedTuple):
    """One move of a name to an image."""

    number: int
    """1 is the first that the name ever had"""
    image_id: str
    at: float
    reason: str
    """build, pull, load, tag, ... or "rollback to N" """
    current: bool
    here: bool
    """whether the image is still in the store"""
    size: int


def of(store: Store, name: str) -> list[Version]:
    """The versions of a name, the oldest first; NotFoundError for a name that there never was."""
    rows = store.db.execute(
        "SELECT m.image_id, m.at, m.reason, i.size FROM tag_moves m LEFT JOIN images i ON i.id = m.image_id"
        " WHERE m.name = ? AND m.image_id IS NOT NULL ORDER BY m.seq",
        (parse_tagged(name).tagged,),
    ).fetchall()
    if not rows:
        raise NotFoundError(f"no image was ever called {name}", hint="list the names with 'devbox images'")
    exists = store.db.execute("SELECT 1 FROM tags WHERE name = ?", (parse_tagged(name).tagged,)).fetchone()
    return [
        Version(
            number=number,
            image_id=row["image_id"],
            at=row["at"],
            reason=row["reason"],
            current=exists is not None and number == len(rows),
            here=row["size"] is not None,
            size=row["size"] or 0,
        )
        for number, row in enumerate(rows, 1)
    ]


def rollback(store: Store, name: str, to: int | None = None) -> tuple[Version, Image]:
    """Let a name mean what it meant in version `to`, or in the last one before that of now.

    Going back twice goes back two versions. A name that was removed comes back as it was last.
    """
    with store.transaction() as db:
        versions = of(store, name)
        target = _previous(versions, name) if to is None else _numbered(versions, name, to)
        if not target.here:
            raise NotFoundError(
                f"version {target.number} of {name} is gone: image {catalog.short(target.image_id)} was removed",
                hint=f"'devbox image log {name}' shows which versions are here",
            )
        tagged = parse_tagged(name).tagged
        if not catalog.move_tag(store, db, tagged, target.image_id, f"rollback to {target.number}"):
            raise StateError(f"{name} is what it was in version {target.number}: there is nothing to go back to")
        store.event("image", "rollback", target.image_id, {"name": familiar(tagged)})
    return target, catalog.by_id(store, target.image_id)


def _numbered(versions: list[Version], name: str, number: int) -> Version:
    if not 0 < number <= len(versions):
        raise NotFoundError(
            f"{name} has no version {number}",
            hint=f"'devbox image log {name}' shows versions 1 to {len(versions)}",
        )
    return versions[number - 1]


def _previous(versions: list[Version], name: str) -> Version:
    """The last version before that of now, or before the one that it was rolled back to, with another image."""
    now = versions[-1]
    if not now.current:
        return now
    rolled = _ROLLED_BACK.fullmatch(now.reason)
    position = int(rolled[1]) if rolled else now.number
    for version in reversed(versions[: position - 1]):
        if version.here and version.image_id != now.image_id and not _ROLLED_BACK.fullmatch(version.reason):
            return version
    raise NotFoundError(
        f"{name} has no earlier version that is still here", hint=f"'devbox image log {name}' shows what it was"
    )


def kept(db: sqlite3.Connection, most: int = KEPT) -> dict[str, list[str]]:
    """The images that the names of now can be rolled back to, `most` for each name; by image, the names."""
    rows = db.execute(
        "SELECT name, image_id FROM tag_moves WHERE image_id IN (SELECT id FROM images)"
        " AND name IN (SELECT name FROM tags) GROUP BY name, image_id ORDER BY name, max(seq) DESC"
    )
    found: dict[str, list[str]] = {}
    for name, moves in itertools.groupby(rows, key=lambda row: str(row["name"])):
        for row in itertools.islice(moves, most):
            found.setdefault(row["image_id"], []).append(name)
    return found
