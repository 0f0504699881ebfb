"""`push`: an image of the store into a registry; what the registry has already is not sent."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from devbox.errors import NotFoundError
from devbox.image import annotating, catalog, layers, save
from devbox.image.annotating import Texts
from devbox.image.manifests import INDEX_TYPES, MANIFEST_TYPES
from devbox.image.progress import short
from devbox.image.squeeze import Squeezed
from devbox.image.transfers import forms
from devbox.image.transfers.pull import How
from devbox.model.image import Image
from devbox.model.reference import Reference, familiar, parse_tagged
from devbox.registry.repository import Blob, Repository, Session, itself
from devbox.store.database import Store

_CONFIG = "application/vnd.oci.image.config.v1+json"


class Pushed(NamedTuple):
    """A manifest that is in the registry now."""

    digest: str
    size: int


def push(store: Store, name: str, how: How) -> Pushed:
    """Put what a name means into its registry."""
    reference = parse_tagged(name)
    image = _image(store, reference)
    repository = itself(reference, how.environ, insecure=how.insecure)
    try:
        data = _manifest(store, repository, image, how)
        digest = repository.put(reference.tag, data, MANIFEST_TYPES[0])
    finally:
        repository.close()
    _note(store, reference, digest, image)
    return Pushed(digest, len(data))


def push_several(store: Store, name: str, images: Sequence[Image], how: How, *, of_index: Texts) -> Pushed:
    """Put images for several platforms, whose layers are held, into the registry of a name, as an index."""
    reference = parse_tagged(name)
    repository = itself(reference, how.environ, insecure=how.insecure)
    entries = []
    try:
        for image in images:
            data = _manifest(store, repository, image, how)
            digest = repository.put("sha256:" + hashlib.sha256(data).hexdigest(), data, MANIFEST_TYPES[0])
            entry = {**_descriptor(Blob(digest, len(data), MANIFEST_TYPES[0])), "platform": save.platform(image)}
            entries.append(annotating.added(entry, annotating.of(store, image.id).descriptor))
            _note(store, reference, digest, image)
        data = json.dumps(save.index(entries, of_index), separators=(",", ":")).encode()
        return Pushed(repository.put(reference.tag, data, INDEX_TYPES[0]), len(data))
    finally:
        repository.close()


def _note(store: Store, reference: Reference, digest: str, image: Image) -> None:
    """Write down that a repository has an image."""
    with store.transaction() as db:
        full = f"{reference.repository}@{digest}"
        db.execute("INSERT OR REPLACE INTO image_digests (name, image_id) VALUES (?, ?)", (full, image.id))
        store.event("image", "push", familiar(reference.tagged), {"name": familiar(reference.repository)})


def tags_of(store: Store, name: str) -> list[str]:
    """All names of a repository, for push --all-tags."""
    reference = parse_tagged(name)
    begin = reference.repository + ":"
    rows = store.db.execute(
        "SELECT name FROM tags WHERE name >= ? AND name < ? ORDER BY name", (begin, reference.repository + ";")
    ).fetchall()
    if not rows:
        raise NotFoundError(f"no image of the repository {familiar(reference.repository)} is here")
    return [row["name"] for row in rows]


def _image(store: Store, reference: Reference) -> Image:
    """The image of a name, whose layers stay while this process lives."""
    row = store.db.execute("SELECT image_id FROM tags WHERE name = ?", (reference.tagged,)).fetchone()
    if row is None:
        raise NotFoundError(
            f"no image is called {familiar(reference.tagged)}",
            hint="give it the name that it shall have in the registry: devbox tag IMAGE NAME",
        )
    for layer in catalog.by_id(store, row["image_id"]).layers:
        layers.hold(store, layer)
    return catalog.by_id(store, row["image_id"])


def _layers(store: Store, repository: Repository, image: Image, how: How) -> list[Blob]:
    """Have all layers in the registry; what they are there, lowest first."""
    found: dict[str, Blob] = {}
    for layer, diff_id in zip(image.layers, image.diff_ids, strict=True):
        if diff_id not in found:
            blob = _there(store, repository, layer, diff_id, how) or _send(store, repository, layer, diff_id, how)
            with store.transaction() as db:
                forms.note(db, blob, layer, repository.reference.repository)
            found[diff_id] = blob
    return [found[diff_id] for diff_id in image.diff_ids]


def _there(store: Store, repository: Repository, layer: int, diff_id: str, how: How) -> Blob | None:
    """The layer as the registry has it already, in this repository or in another one that it can be had from."""
    known = forms.of(store, layer, how.compression)
    for blob in known:
        if repository.has(blob.digest):
            how.progress.state(short(diff_id), "Layer already exists")
            return blob
    for blob, path in _elsewhere(store, known, repository.reference):
        if repository.mount(blob.digest, path):
            how.progress.state(short(diff_id), f"Mounted from {path}")
            return blob
    return None


def _elsewhere(store: Store, known: list[Blob], reference: Reference) -> Iterator[tuple[Blob, str]]:
    for blob in known:
        for path in forms.neighbours(store, blob.digest, reference):
            yield blob, path


def _send(store: Store, repository: Repository, layer: int, diff_id: str, how: How) -> Blob:
    """Compress a layer and send it at the same time."""
    key = short(diff_id)
    stream = Squeezed(store, layer, diff_id, how.compression)

    def pieces() -> Iterator[bytes]:
        how.progress.state(key, "Pushing")
        sent = 0
        try:
            for piece in stream.pieces():
                yield piece
                sent += len(piece)
                how.progress.advance(key, len(piece))
        except GeneratorExit:
            how.progress.advance(key, -sent)
            raise

    with _upload(store, repository.reference.repository, layer, how.compression) as session:
        repository.upload(pieces, lambda: stream.digest, session)
    how.progress.state(key, "Pushed")
    return Blob(stream.digest, stream.size, forms.media_type(how.compression))


@contextlib.contextmanager
def _upload(store: Store, repository: str, layer: int, method: str) -> Iterator[Session]:
    """The upload of a layer, which another push may have begun; it is forgotten at its good end."""
    key = (repository, layer, method)
    where = "WHERE repository = ? AND layer_id = ? AND method = ?"
    known = store.db.execute(f"SELECT location FROM layer_uploads {where}", key).fetchone()

    def keep(location: str) -> None:
        with store.transaction(durable=False) as db:
            db.execute("INSERT OR REPLACE INTO layer_uploads VALUES (?, ?, ?, ?)", (*key, location))

    yield Session(known["location"] if known else "", keep)
    with store.transaction(durable=False) as db:
        db.execute(f"DELETE FROM layer_uploads {where}", key)


def _manifest(store: Store, repository: Repository, image: Image, how: How) -> bytes:
    """The manifest of an image, all that it names being there; the same image always gives the same bytes."""
    for digest in dict.fromkeys(image.diff_ids):
        how.progress.state(short(digest), "Preparing")
    described = _layers(store, repository, image, how)
    document = catalog.document(store, image.id)
    fields = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPES[0],
        "config": _descriptor(Blob(repository.send(document), len(document), _CONFIG)),
        "layers": [_descriptor(blob) for blob in described],
    }
    fields = annotating.added(fields, annotating.of(store, image.id).manifest)
    return json.dumps(fields, separators=(",", ":")).encode()


def _descriptor(blob: Blob) -> dict[str, Any]:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}
