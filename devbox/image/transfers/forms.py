"""The compressed streams in which registries have a layer: known by digest, not kept here."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import sqlite3

from devbox.model.reference import Reference
from devbox.registry.repository import Blob
from devbox.store.database import Store


def note(db: sqlite3.Connection, blob: Blob, layer_id: int, repository: str) -> None:
    """[tx] Remember a stream that was seen to be the layer, and that a repository has it."""
    db.execute(
        "INSERT OR REPLACE INTO layer_forms (digest, layer_id, media_type, size) VALUES (?, ?, ?, ?)",
        (blob.digest, layer_id, blob.media_type, blob.size),
    )
    db.execute("INSERT OR IGNORE INTO layer_places (digest, repository) VALUES (?, ?)", (blob.digest, repository))


def of(store: Store, layer_id: int, method: str) -> list[Blob]:
    """Streams of a layer that are compressed by a method, with the type that OCI has for it."""
    rows = store.db.execute(
        "SELECT digest, size, media_type FROM layer_forms WHERE layer_id = ? ORDER BY digest", (layer_id,)
    )
    fitting = [row for row in rows if row["media_type"].endswith(method)]
    return [Blob(row["digest"], row["size"], media_type(method)) for row in fitting]


def media_type(method: str) -> str:
    """OCI's name for a layer that is compressed so."""
    return f"application/vnd.oci.image.layer.v1.tar+{method}"


def neighbours(store: Store, digest: str, reference: Reference) -> list[str]:
    """Paths of other repositories of a reference's registry that had a stream."""
    rows = store.db.execute("SELECT repository FROM layer_places WHERE digest = ? ORDER BY 1", (digest,))
    begin = reference.domain + "/"
    paths = [row["repository"].removeprefix(begin) for row in rows if row["repository"].startswith(begin)]
    return [path for path in paths if path != reference.path]
