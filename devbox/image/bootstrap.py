"""`bootstrap`: base images from the distribution's own packages, as this machine is configured to get them."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.errors import UsageError
from devbox.image import busybox
from devbox.model.image import Image
from devbox.model.reference import parse_tagged
from devbox.store.database import Store


def bootstrap(store: Store, what: str, *, tag: str = "") -> Image:
    """Make the image `what` ("busybox"), tagged `tag` or as it is called itself."""
    name = tag or what
    parse_tagged(name)
    if what in ("busybox", "busybox:latest"):
        return busybox.bootstrap(store, (name,))
    raise UsageError(f"cannot make {what!r}", hint="known are 'busybox'")
