"""An image of one layer, from a tree made on the spot."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from devbox.image import catalog, config, layers
from devbox.model.image import HistoryEntry, Image
from devbox.model.reference import familiar, parse_tagged
from devbox.store.database import Store


class Origin(NamedTuple):
    """Where an image comes from."""

    reason: str
    """of its tags' moves: import, bootstrap"""
    created_by: str
    comment: str = ""
    created: float = 0.0
    platform: tuple[str, str] = ("", "")
    cache_key: str = ""
    """of build_cache: what went in"""


def record(
    store: Store,
    layer: layers.Prepared,
    settings: Mapping[str, Any],
    *,
    names: Sequence[str],
    origin: Origin,
) -> Image:
    """Sync and record a finished tree as an image with this `config` object."""
    history = HistoryEntry(config.format_time(origin.created), origin.created_by, origin.comment)
    composed = config.compose(
        created=origin.created,
        config=settings,
        diff_ids=[layer.diff_id],
        history=[history],
        platform=origin.platform,
    )
    document = config.write(composed)
    layers.sync(store)
    with store.transaction() as db:
        ids = layers.record(store, db, [layer])
        image_id = catalog.insert(store, db, document, [ids[layer.diff_id]])
        for name in names:
            catalog.move_tag(store, db, parse_tagged(name).tagged, image_id, origin.reason)
        if origin.cache_key:
            db.execute(
                "INSERT OR REPLACE INTO build_cache (key, image_id, used) VALUES (?, ?, ?)",
                (origin.cache_key, image_id, time.time()),
            )
        shown = familiar(parse_tagged(names[0]).tagged) if names else image_id
        store.event("image", origin.reason, image_id, {"name": shown})
    return catalog.by_id(store, image_id)


def cached(store: Store, key: str, names: Sequence[str], reason: str) -> Image | None:
    """The image that was made of the same once, with these names; None when there is none."""
    with store.transaction() as db:
        row = db.execute("SELECT image_id FROM build_cache WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        db.execute("UPDATE build_cache SET used = ? WHERE key = ?", (time.time(), key))
        for name in names:
            catalog.move_tag(store, db, parse_tagged(name).tagged, row["image_id"], reason)
    return catalog.by_id(store, row["image_id"])
