"""Half-done work: a directory each under tmp/, swept by any later command once its owner is gone."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator

from devbox.store.root import Root
from devbox.system.files import remove_tree

_UNLOCKED = ".new"
_YOUNG_SECONDS = 60


@contextlib.contextmanager
def scratch(root: Root, purpose: str) -> Iterator[str]:
    """A new directory that is locked by this process and deleted at the end.

    What is finished is renamed out of it (same file system) before the end.
    """
    path, fd = claim(root, purpose)
    try:
        yield path
    finally:
        remove_tree(path)
        os.close(fd)


def claim(root: Root, purpose: str) -> tuple[str, int]:
    """A new directory, and the descriptor that locks it as long as it is open; the caller deletes both."""
    path = f"{root.scratch}/{purpose}.{os.urandom(8).hex()}"
    os.mkdir(path + _UNLOCKED, 0o700)
    fd = os.open(path + _UNLOCKED, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.rename(path + _UNLOCKED, path)
    except BaseException:
        os.close(fd)
        raise
    return path, fd


def sweep(root: Root, take_back: Callable[[str], bool] = lambda _: True) -> int:
    """Delete what dead processes left half done; return how many directories that were.

    `take_back` is given the name of each before it is deleted, and cleans up elsewhere; one for which it answers
    False, or fails, is there for a later sweep.
    A directory has its final name only once it is locked; one that has not is left until it is a minute old.
    """
    swept = 0
    for name in os.listdir(root.scratch):
        path = f"{root.scratch}/{name}"
        lock = _abandoned(path)
        if lock is None:
            continue
        try:
            if take_back(name):
                remove_tree(path)
                swept += 1
        finally:
            os.close(lock)
    return swept


def _abandoned(path: str) -> int | None:
    """The locked descriptor of a directory whose owner is dead, None for any other."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    if path.endswith(_UNLOCKED) and time.time() - os.fstat(fd).st_mtime < _YOUNG_SECONDS:
        os.close(fd)
        return None
    return fd
