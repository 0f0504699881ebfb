"""A build from beginning to end: the plan, its stages, the image."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from devbox.build import graph
from devbox.build.caching import cache
from devbox.build.planning.planned import Plan
from devbox.build.planning.platforms import Platform
from devbox.image import annotating, aside, catalog, config, gc, layers
from devbox.image.annotating import Annotations
from devbox.model.reference import familiar, parse_tagged
from devbox.store.database import Store


class Image(NamedTuple):
    """What a build made."""

    id: str
    diff_ids: tuple[str, ...]
    platform: Platform


def record(
    store: Store,
    plan: Plan,
    built: graph.Built,
    *,
    names: tuple[str, ...],
    labels: Mapping[str, str],
    said: Annotations = Annotations(),  # noqa: B008
) -> Image:
    """Make the last stage of a plan that was carried out an image with these names."""
    found = [(layer, _digest(store, built, layer)) for layer in built.state.layers]
    diff_ids = tuple(each if isinstance(each, str) else each.diff_id for _, each in found)
    last = plan.stages[-1]
    document = last.draft.document(diff_ids, bare=built.state.bare, labels=labels, platform=last.platform)
    image = Image("sha256:" + hashlib.sha256(document).hexdigest(), diff_ids, last.platform)
    _record(store, image, document, names, built, found, said)
    return image


def _digest(store: Store, built: graph.Built, layer: int) -> str | layers.Prepared:
    """The diff_id of a layer, or all that was measured of it when nobody knew it before."""
    return layers.known_digest(store, layer) or built.measured.get(layer) or layers.measure_layer(store, layer)


def keep(store: Store, built: graph.Built) -> None:
    """Make what was built last in the cache, without an image of it."""
    if not all(built.used.values()):
        layers.sync(store)
    with store.transaction():
        cache.settle(store, built.used, built.memos)


def _record(
    store: Store,
    image: Image,
    document: bytes,
    names: tuple[str, ...],
    built: graph.Built,
    found: Sequence[tuple[int, str | layers.Prepared]],
    said: Annotations,
) -> None:
    tags = [parse_tagged(name).tagged for name in names]
    synced = all(built.used.values())
    if not synced:
        layers.sync(store)
    news = not synced or not _is_recorded(store, image.id, tags) or annotating.of(store, image.id) != said
    with store.transaction(durable=news) as db:
        if news:
            rows = [
                layer if isinstance(each, str) else layers.note_digest(store, db, layer, each)
                for layer, each in found
            ]
            catalog.insert(store, db, document, rows)
            annotating.keep(db, image.id, said)
            for tag in tags:
                catalog.move_tag(store, db, tag, image.id, "build")
            store.event("image", "build", image.id, {"name": familiar(tags[0]) if tags else image.id})
        cache.settle(store, built.used, built.memos)


def for_this_machine(images: Sequence[Image]) -> Image:
    """The image that a name means here, of those that were built for several platforms."""
    own = config.architecture()
    return next((image for image in images if image.platform.architecture == own), images[0])


def name_several(store: Store, images: Sequence[Image], names: Sequence[str]) -> None:
    """Let names mean images for several platforms, each for its own: the tag is of the one for this machine."""
    with store.transaction() as db:
        for tag in (parse_tagged(name).tagged for name in names):
            catalog.move_tag(store, db, tag, for_this_machine(images).id, "build")
            for image in images:
                aside.keep(db, tag, image.id)


def let_go(store: Store) -> None:
    """Hold nothing of a build any more, and collect layers whose steps were made anew."""
    layers.release_all()
    gc.collect_leftovers(store)


def _is_recorded(store: Store, image_id: str, tags: list[str]) -> bool:
    known = store.db.execute("SELECT 1 FROM images WHERE id = ?", (image_id,)).fetchone()
    return known is not None and all(
        store.db.execute("SELECT 1 FROM tags WHERE name = ? AND image_id = ?", (tag, image_id)).fetchone()
        for tag in tags
    )
