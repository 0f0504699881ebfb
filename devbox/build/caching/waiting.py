"""Locks that a stopped build does not go on waiting for."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator

from devbox.system.locks import open_lock

_LOOK_SECONDS = 0.05


def acquire(fd: int, kind: int, check: Callable[[], None]) -> None:
    """flock(2) that raises what `check` raises while somebody else has the lock."""
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            check()
            time.sleep(_LOOK_SECONDS)
        else:
            return


@contextlib.contextmanager
def alone(path: str, check: Callable[[], None]) -> Iterator[None]:
    """Hold a lock whose file goes when its holder is done."""
    while True:
        fd = open_lock(path)
        try:
            acquire(fd, fcntl.LOCK_EX, check)
            if not _is_at(fd, path):
                continue  # its last holder has removed it
            try:
                yield
            finally:
                os.unlink(path)
            return
        finally:
            os.close(fd)


def _is_at(fd: int, path: str) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    own = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)
