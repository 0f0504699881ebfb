"""Images of the state file against their layers and blobs on disk: found, and put right."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import hashlib
import os
import sqlite3
from collections.abc import Iterator

from devbox.errors import DevboxError
from devbox.image import catalog, gc, layers
from devbox.model.problem import Problem
from devbox.model.reference import familiar
from devbox.store.database import Store


def find(store: Store) -> list[Problem]:
    """Everything that is wrong; reads every file of every layer."""
    return [*_images(store), *_layers(store), *_blobs(store), *_surplus(store)]


def repair(store: Store) -> list[Problem]:
    """Put right what can be; returns what was found.

    A damaged layer is no longer taken for what it was, so that the next load or bootstrap of its image makes it
    anew, and the image has that one from then on.
    """
    problems = find(store)
    with store.transaction() as db:
        for problem in problems:
            match problem.kind:
                case "layer":
                    _disown(db, int(problem.name))
                case "blob":
                    db.execute("DELETE FROM layer_blobs WHERE digest = ?", (problem.name,))
    gc.collect(store)
    return problems


def _disown(db: sqlite3.Connection, layer_id: int) -> None:
    db.execute("UPDATE layers SET diff_id = NULL, canonical = coalesce(canonical, '') WHERE id = ?", (layer_id,))
    db.execute("DELETE FROM build_steps WHERE layer_id = ?", (layer_id,))
    db.execute(
        "DELETE FROM build_cache WHERE image_id IN (SELECT image_id FROM image_layers WHERE layer_id = ?)",
        (layer_id,),
    )


def _images(store: Store) -> Iterator[Problem]:
    for row in store.db.execute("SELECT id, document FROM images").fetchall():
        if "sha256:" + hashlib.sha256(row["document"].encode()).hexdigest() != row["id"]:
            yield Problem(
                "image", row["id"], f"the config of {_name(store, row['id'])} was altered", mendable=False
            )


def _layers(store: Store) -> Iterator[Problem]:
    rows = store.db.execute("SELECT id, diff_id, canonical FROM layers ORDER BY id").fetchall()
    for row in rows:
        damage = _damage(store, row)
        users = store.db.execute(
            "SELECT DISTINCT image_id FROM image_layers WHERE layer_id = ?", (row["id"],)
        ).fetchall()
        if not users and not _is_of_a_build(store, row["id"]):
            if _is_there(store, row["id"]) and layers.unheld(store, row["id"]):
                yield Problem("unused layer", str(row["id"]), f"no image has layer {row['id']}")
        elif damage and not users:
            yield Problem("layer", str(row["id"]), f"layer {row['id']} of the build cache {damage}")
        elif damage:
            names = ", ".join(_name(store, user["image_id"]) for user in users)
            sentence = f"layer {row['id']} of {names} {damage}: make or load it again after a repair"
            yield Problem("layer", str(row["id"]), sentence, mendable=False)


def _is_of_a_build(store: Store, layer_id: int) -> bool:
    row = store.db.execute("SELECT 1 FROM build_steps WHERE layer_id = ? LIMIT 1", (layer_id,)).fetchone()
    return row is not None


def _damage(store: Store, row: sqlite3.Row) -> str:
    """What is wrong with a layer, "" for nothing."""
    place = f"{store.root.layers}/{row['id']}"
    if not os.path.isdir(place + "/diff"):
        return "is missing"
    if row["diff_id"] is None:
        # of a step of a build nobody knows what it should be before somebody has asked for its digest
        return "was found damaged before" if row["canonical"] is not None else ""
    try:
        if layers.measure(place).canonical != (row["canonical"] or row["diff_id"]):
            return "was altered"
        if os.path.exists(place + "/frame") and _replayed(store, row["id"]) != row["diff_id"]:
            return "has a damaged frame"
    except DevboxError as error:
        return f"cannot be read ({error.message})"
    return ""


def _replayed(store: Store, layer_id: int) -> str:
    digest = hashlib.sha256()
    layers.write_tar(store, layer_id, digest.update)
    return "sha256:" + digest.hexdigest()


def _blobs(store: Store) -> Iterator[Problem]:
    for row in store.db.execute("SELECT digest, size FROM layer_blobs").fetchall():
        path = f"{store.root.blobs}/{row['digest'].replace(':', '/')}"
        if not os.path.isfile(path):
            yield Problem("blob", row["digest"], f"the blob {row['digest']} is missing")
        elif _digest(path) != row["digest"]:
            yield Problem("blob", row["digest"], f"the blob {row['digest']} was altered")


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _surplus(store: Store) -> Iterator[Problem]:
    with store.transaction():
        paths = gc.surplus(store)
    for path in paths:
        yield Problem("surplus", path, f"{path} belongs to nothing")


def _is_there(store: Store, layer_id: int) -> bool:
    return store.db.execute("SELECT 1 FROM layers WHERE id = ?", (layer_id,)).fetchone() is not None


def _name(store: Store, image_id: str) -> str:
    names = catalog.tags_of(store, image_id)
    return familiar(names[0]) if names else f"image {catalog.short(image_id)}"
