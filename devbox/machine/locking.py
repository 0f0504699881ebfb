"""One change of a machine at a time: a lock that dies with its process and says who holds it."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator

_INTERVAL = 0.2


@contextlib.contextmanager
def locked(path: str, purpose: str, waiting: Callable[[str], None]) -> Iterator[bool]:
    """Hold the lock; while somebody else has it, `waiting` is told once who. Yields whether it had to wait."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    fd = os.open(path, flags, 0o600)
    waited = False
    try:
        while not _try(fd):
            if not waited:
                waiting(owner(path))
                waited = True
            time.sleep(_INTERVAL)
        _sign(path, purpose)
        yield waited
    finally:
        os.close(fd)


def owner(path: str) -> str:
    """Who holds the lock, for a person."""
    try:
        with open(path + ".owner", encoding="utf-8") as file:
            who = json.load(file)
        return f"process {int(who['pid'])} ({who['purpose']}, since {who['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _sign(path: str, purpose: str) -> None:
    # a file of its own: on Windows nobody can read a locked one
    since = time.strftime("%H:%M:%S")
    with open(path + ".owner", "w", encoding="utf-8") as file:
        json.dump({"pid": os.getpid(), "purpose": purpose, "since": since}, file)


def _try(fd: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held: BlockingIOError here, PermissionError on Windows
        return False
    return True
