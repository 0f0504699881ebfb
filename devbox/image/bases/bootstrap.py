"""`bootstrap`: base images from the distribution's own packages, as this machine is configured to get them."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from collections.abc import Callable, Mapping, Sequence

from devbox.errors import UsageError
from devbox.image.bases import busybox, debian
from devbox.model.image import Image
from devbox.model.reference import parse_tagged
from devbox.store.database import Store


def bootstrap(
    store: Store,
    system: str,
    *,
    tag: str = "",
    include: Sequence[str] = (),
    variant: str = "minbase",
    fresh: bool = False,
    environ: Mapping[str, str] = os.environ,
    progress: Callable[[str], None] = lambda _: None,
) -> Image:
    """Make the image of "busybox" or "debian:RELEASE", named `tag` or as it is called itself.

    An image that was made of the same before is taken again, unless `fresh`.
    """
    name = tag or system
    parse_tagged(name)
    packages = tuple(package for item in include for package in item.split(",") if package)
    distribution, _, release = system.partition(":")
    if distribution == "busybox" and release in ("", "latest"):
        if packages or variant != "minbase":
            raise UsageError("busybox is a single program: --include and --variant have no meaning for it")
        return busybox.bootstrap(store, (name,))
    if distribution == "debian":
        wish = debian.Wish(release if release not in ("", "latest") else "stable", packages, variant, fresh)
        return debian.bootstrap(store, wish, (name,), environ, progress)
    raise UsageError(
        f"cannot make {system!r}", hint="known are 'busybox' and 'debian:RELEASE', as debian:bookworm"
    )
