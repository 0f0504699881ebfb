"""Annotations: what is said of a manifest and of its entry in an index; it is no part of the image itself."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
import sqlite3
from collections.abc import Mapping
from typing import Any, NamedTuple

from devbox.store.database import Store

Texts = Mapping[str, str]


class Annotations(NamedTuple):
    """Of one image."""

    manifest: Mapping[str, str] = {}
    descriptor: Mapping[str, str] = {}
    """of the entries of indexes that name the manifest"""


def of(store: Store, image_id: str) -> Annotations:
    """Those that an image was built with last."""
    row = store.db.execute("SELECT annotations_json FROM images WHERE id = ?", (image_id,)).fetchone()
    return Annotations(**json.loads(row["annotations_json"])) if row is not None else Annotations()


def keep(db: sqlite3.Connection, image_id: str, annotations: Annotations) -> None:
    """[tx] Write down those of an image, in place of what it had."""
    fields = {key: value for key, value in annotations._asdict().items() if value}
    text = json.dumps(fields, sort_keys=True)
    db.execute("UPDATE images SET annotations_json = ? WHERE id = ?", (text, image_id))


def added(document: dict[str, Any], texts: Texts) -> dict[str, Any]:
    """A manifest, index or descriptor with annotations, where there are any."""
    merged = {**document.get("annotations", {}), **texts}
    return {**document, "annotations": merged} if merged else document
