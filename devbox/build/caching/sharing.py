"""A build cache in a registry: an image whose layers are those of the steps, and whose label says which is whose.

It is an image like any other on the way there and back, so that what travels is what push and pull send and fetch.
"""

import sys

assert sys.platform == "linux"

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from devbox.build.caching import cache, carrying
from devbox.errors import NotFoundError, RefusedError
from devbox.image import catalog, layers
from devbox.image.config import LAYERS_MAX, architecture
from devbox.model.image import Image
from devbox.model.reference import parse_tagged
from devbox.store.database import Store

LABEL = "devbox.build-cache"
_CREATED = "1980-01-01T00:00:00Z"


def push(store: Store, keys: Iterable[str], name: str, send: Callable[[str], object]) -> None:
    """Make an image of the steps of a build, let `send` put it into its registry, and forget it."""
    steps = {key: step for key in keys if (step := carrying.step_of(store, key)) is not None}
    rows = {step.diff_id: step.layer for step in steps.values() if step.layer is not None}
    if not rows:
        return
    if len(rows) > LAYERS_MAX:
        raise RefusedError(
            f"the build has {len(rows)} layers, and a cache in a registry at most {LAYERS_MAX}",
            hint="use --cache-to type=local,dest=DIRECTORY",
        )
    index = {key: {"layer": step.diff_id, "result": step.result, "what": step.what} for key, step in steps.items()}
    with _named(store, _document(index, list(rows)), list(rows.values()), name):
        send(name)


def _document(index: dict[str, Any], diff_ids: list[str]) -> bytes:
    document = {
        "architecture": architecture(),
        "config": {"Labels": {LABEL: json.dumps({"steps": index}, sort_keys=True)}},
        "created": _CREATED,
        "history": [{"created_by": "devbox build --cache-to"} for _ in diff_ids],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


@contextlib.contextmanager
def _named(store: Store, document: bytes, rows: list[int], name: str) -> Iterator[None]:
    """Let a name mean an image for the block, and then what it meant before."""
    tag = parse_tagged(name).tagged
    before = _meant(store, name)
    for layer in rows:
        layers.hold(store, layer)
    layers.sync(store)
    with store.transaction() as db:
        catalog.move_tag(store, db, tag, catalog.insert(store, db, document, rows), "cache")
    try:
        yield
    finally:
        _put_back(store, tag, before)


def _meant(store: Store, name: str) -> str | None:
    tag = parse_tagged(name).tagged
    row = store.db.execute("SELECT image_id FROM tags WHERE name = ?", (tag,)).fetchone()
    return None if row is None else str(row["image_id"])


def _put_back(store: Store, tag: str, before: str | None) -> None:
    with store.transaction() as db:
        image_id = db.execute("SELECT image_id FROM tags WHERE name = ?", (tag,)).fetchone()["image_id"]
        catalog.move_tag(store, db, tag, before, "cache")
        if image_id != before and not catalog.tags_of(store, image_id) and not catalog.users_of(store, image_id):
            catalog.delete(store, db, image_id)


def pull(store: Store, name: str, fetch: Callable[[str], Image]) -> None:
    """Let `fetch` bring such an image, take its steps into the cache, and forget it.

    Raises NotFoundError for an image that is no cache, and what `fetch` raises.
    """
    tag, before = parse_tagged(name).tagged, _meant(store, name)
    image = fetch(name)
    try:
        text = image.config.labels.get(LABEL)
        if text is None:
            raise NotFoundError(
                f"{name} is no build cache", hint="devbox build --cache-to type=registry,ref=NAME makes one"
            )
        rows = dict(zip(image.diff_ids, image.layers, strict=True))
        for key, step in carrying.read_index(text.encode(), name):
            if cache.find(store, key) is None and (not step.diff_id or step.diff_id in rows):
                layer = rows[step.diff_id] if step.diff_id else None
                cache.take(store, key, layer, result=step.result, what=step.what)
    finally:
        _put_back(store, tag, before)
