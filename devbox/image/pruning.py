"""`image prune`: images that nothing uses, and that no name can be rolled back to."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Callable
from typing import NamedTuple

from devbox.image import catalog, gc, versions
from devbox.image.transfers import downloads
from devbox.model.image import Image
from devbox.store.database import Store

Wanted = Callable[[Image], bool]


class Pruned(NamedTuple):
    """What a prune has done."""

    lines: list[str]
    """docker's account"""
    size: int
    """bytes that were freed"""
    kept: int
    """unnamed images that stay because a name can be rolled back to them"""


def prune(store: Store, wanted: Wanted, *, named: bool, keep: int = versions.KEPT) -> Pruned:
    """Remove the wanted ones of the images that no container uses: unnamed ones, and `named` ones on request.

    The last `keep` versions of each name that is left stay.
    """
    lines = []
    with store.transaction() as db:
        unused = [image for image in catalog.every(store) if not catalog.users_of(store, image.id)]
        doomed = [image for image in unused if wanted(image)]
        for image in doomed if named else ():
            lines += catalog.untag(store, db, image.id, catalog.tags_of(store, image.id))
        needed = versions.kept(db, keep)
        bare = [image.id for image in doomed if not catalog.tags_of(store, image.id)]
        for image_id in bare:
            if image_id not in needed:
                lines += catalog.delete(store, db, image_id)
    downloads.sweep(store.root.downloads)
    collected = gc.collect(store)
    lines += [f"Deleted: {diff_id}" for diff_id in collected.diff_ids]
    kept = sum(image_id in needed for image_id in bare)
    return Pruned([line[0].lower() + line[1:] for line in lines], collected.size, kept)
