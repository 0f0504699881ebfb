"""Half-done work: a directory each under tmp/, swept by any later command once its owner is gone."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator

from devbox.store.root import Root
from devbox.system.files import remove_tree


@contextlib.contextmanager
def scratch(root: Root, purpose: str) -> Iterator[str]:
    """A new directory that is locked by this process and deleted at the end.

    What is finished is renamed out of it (same file system) before the end.
    """
    path = f"{root.scratch}/{purpose}.{secrets.token_hex(8)}"
    os.mkdir(path, 0o700)
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield path
    finally:
        remove_tree(path)
        os.close(fd)


def sweep(root: Root) -> int:
    """Delete what dead processes left half done; return how many directories that were.

    A directory is locked right after it is made; one that is found in between, unlocked and empty, is the
    only one that a sweep can hit by mistake, so empty ones are left until they are a minute old.
    """
    swept = 0
    for name in os.listdir(root.scratch):
        swept += _sweep_one(f"{root.scratch}/{name}")
    return swept


def _sweep_one(path: str) -> int:
    import time

    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return 0
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.listdir(fd) and time.time() - os.fstat(fd).st_mtime < 60:
            return 0
        remove_tree(path)
    except BlockingIOError:
        return 0
    finally:
        os.close(fd)
    return 1
