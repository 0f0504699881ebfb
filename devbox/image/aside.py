"""What a name means for other platforms than that of the image which its tag points at.

Builds for several platforms need a base image for each of them, and there is one tag.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import sqlite3

from devbox.errors import NotFoundError, UsageError
from devbox.image import catalog, config
from devbox.model.image import Image
from devbox.model.reference import parse
from devbox.store.database import Store


def find(store: Store, reference: str, platform: str) -> Image | None:
    """The image of a reference for a platform; None when there is none here."""
    try:
        image = catalog.find(store, reference)
    except NotFoundError:
        image = None
    if image is not None and config.fits(image, platform):
        return image
    with contextlib.suppress(UsageError):  # an id, which means one image for ever
        name = parse(reference).name
        rows = store.db.execute("SELECT image_id FROM tag_platforms WHERE name = ?", (name,)).fetchall()
        images = (catalog.by_id(store, row["image_id"]) for row in rows)
        return next((each for each in images if config.fits(each, platform)), None)
    return None


def keep(db: sqlite3.Connection, name: str, image_id: str) -> None:
    """[tx] Let a normalised name mean an image for the platform of that image, whatever its tag points at."""
    db.execute(
        "INSERT OR REPLACE INTO tag_platforms (name, platform, image_id)"
        " SELECT ?, architecture || '/' || variant, id FROM images WHERE id = ?",
        (name, image_id),
    )
