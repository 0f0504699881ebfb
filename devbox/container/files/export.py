"""A container's merged file system as one tar stream, without its volumes."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.container.files.filesystem import entered
from devbox.image.tar.pack import Choice, Sink, pack
from devbox.store.database import Store


def export(store: Store, container_id: str, write: Sink) -> None:
    """Write what the container's file system holds, whether it runs or not."""
    with entered(store, container_id, with_mounts=False) as root:
        pack(root, write, choice=Choice(whiteouts=False))
