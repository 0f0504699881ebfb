"""A little room kept on the disk, so that commands which free some work when it is full."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os

from devbox.store.root import Root

SIZE = 1 << 20
"""bytes: what the state file and a directory or two need"""
_ROOM = 16
"""the reserve is taken only where there is this many times its size"""


def keep(root: Root) -> None:
    """Take the reserve, when the disk has plenty."""
    disk = os.statvfs(root.state)
    if disk.f_bavail * disk.f_frsize < _ROOM * SIZE:
        return
    with contextlib.suppress(FileExistsError):
        fd = os.open(root.reserve, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, SIZE)
        finally:
            os.close(fd)


def make_room(root: Root) -> None:
    """Give the reserve back to a disk that is full, before the state file is opened."""
    try:
        disk = os.statvfs(root.state)
    except FileNotFoundError:
        return
    if disk.f_bavail * disk.f_frsize < SIZE:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(root.reserve)
