"""What overlayfs writes into a layer's tree to say that something below is gone, and the names for it in a tar."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import errno
import os
import stat

from devbox.errors import RefusedError

OPAQUE = b"trusted.overlay.opaque"
WHITEOUT_PREFIX = b".wh."
OPAQUE_NAME = b".wh..wh..opq"
OWN_ATTRIBUTES = (b"trusted.overlay.", b"user.overlay.")
"""beginnings of the attributes that overlayfs keeps for itself: they are no part of a file"""

_PARTIAL = frozenset((b"trusted.overlay.redirect", b"trusted.overlay.metacopy"))


def is_whiteout(there: os.stat_result) -> bool:
    """Whether it stands for a name that is deleted."""
    return stat.S_ISCHR(there.st_mode) and there.st_rdev == 0


def is_opaque(path: bytes) -> bool:
    """Whether a directory hides what the layers below have there; a link is not followed."""
    try:
        return os.getxattr(path, OPAQUE, follow_symlinks=False) == b"y"
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return False
        raise


def attributes(path: bytes, *, follow: bool = False, alone: bool = False) -> dict[bytes, bytes]:
    """The extended attributes of a file but overlayfs's own, in order; none where there cannot be any.

    `alone`: RefusedError for a file that is one only together with the layers below.
    """
    try:
        names = sorted(map(os.fsencode, os.listxattr(path, follow_symlinks=follow)))
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
    if alone and not _PARTIAL.isdisjoint(names):
        raise RefusedError(
            "a layer depends on the one below it (overlay redirect or metacopy)",
            hint="mount overlays with redirect_dir=off,metacopy=off",
        )
    kept = (name for name in names if not name.startswith(OWN_ATTRIBUTES))
    return {name: os.getxattr(path, name, follow_symlinks=follow) for name in kept}


def unkeepable(shown: str) -> RefusedError:
    """The error for a file whose name would be taken for a mark."""
    return RefusedError(
        f"the name {shown} cannot be kept in a layer",
        hint="names that start with '.wh.' stand for deletions there",
    )
