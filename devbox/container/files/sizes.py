"""How much a container's own files take."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.model.container import Container
from devbox.store.database import Store
from devbox.volume import usage


def of(store: Store, container: Container) -> tuple[int, int]:
    """Bytes of what the container wrote, and of that with its image."""
    own = usage.size(store.root.container(container.id) + "/diff")
    row = store.db.execute("SELECT size FROM images WHERE id = ?", (container.image_id,)).fetchone()
    return own, own + (row["size"] if row else 0)
