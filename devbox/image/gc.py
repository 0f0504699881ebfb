"""Garbage collection: layers that no image has, blobs that no layer has, directories that no row names."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from devbox.image import layers
from devbox.store.database import Store
from devbox.store.scratch import scratch


class Collected(NamedTuple):
    """What was deleted."""

    diff_ids: tuple[str, ...]
    size: int
    """bytes of the layers"""


def collect(store: Store) -> Collected:
    """Delete layers and blobs that nobody refers to and that no living process holds."""
    with scratch(store.root, "gc") as trash:
        with store.transaction() as db:
            rows = [row for row in _unreferenced(db) if layers.unheld(store, row["id"])]
            ids = [(row["id"],) for row in rows]
            db.executemany("DELETE FROM layers WHERE id = ?", ids)
        _move([f"{store.root.layers}/{row['id']}" for row in rows], trash)
    for row in rows:
        _forget_lock(store, row["id"])
    discard_surplus(store)
    return Collected(tuple(row["diff_id"] for row in rows if row["diff_id"]), sum(row["size"] for row in rows))


def collect_leftovers(store: Store) -> None:
    """Collect when there is something: layers that lost their last step of a build, or their maker."""
    if _unreferenced(store.db):
        collect(store)


def _unreferenced(db: sqlite3.Connection) -> Sequence[sqlite3.Row]:
    # a damaged layer, which has no diff_id, left its image when that was loaded again: it may still be mounted
    return db.execute(
        "SELECT id, diff_id, size FROM layers WHERE id NOT IN (SELECT layer_id FROM image_layers)"
        " AND id NOT IN (SELECT layer_id FROM build_steps WHERE layer_id IS NOT NULL)"
        " AND (diff_id IS NOT NULL OR canonical IS NULL OR NOT EXISTS"
        "      (SELECT 1 FROM containers WHERE status IN ('running', 'paused', 'restarting')))"
        " ORDER BY id DESC"
    ).fetchall()


def surplus(store: Store) -> list[str]:
    """[tx] Paths below layers/ and blobs/ that no row names: left by somebody who died."""
    known = {str(row["id"]) for row in store.db.execute("SELECT id FROM layers")}
    known.add("empty")  # below containers of images without a layer
    digests = {row["digest"].partition(":")[2] for row in store.db.execute("SELECT digest FROM layer_blobs")}
    blobs = store.root.blobs + "/sha256"
    return [
        *(f"{store.root.layers}/{name}" for name in os.listdir(store.root.layers) if name not in known),
        *(f"{blobs}/{name}" for name in os.listdir(blobs) if name not in digests),
    ]


def discard_surplus(store: Store) -> list[str]:
    """Delete what no row names; to be called when scratch directories of dead processes were found."""
    # in a transaction nobody is between renaming a layer into place and recording it
    with scratch(store.root, "gc") as trash, store.transaction():
        found = surplus(store)
        _move(found, trash)
    return found


def _move(paths: Iterable[str], trash: str) -> None:
    for number, path in enumerate(paths):
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, f"{trash}/{number}")


def _forget_lock(store: Store, layer_id: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{store.root.locks}/layer-{layer_id}")
