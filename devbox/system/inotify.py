"""Waiting for a directory to change."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import select
from collections.abc import Iterator

from devbox.system.syscalls import inotify_add_watch, inotify_init

_MODIFY, _ATTRIB, _CLOSE_WRITE, _MOVED_TO, _CREATE = 0x2, 0x4, 0x8, 0x80, 0x100
_ANY_CHANGE = _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_TO | _CREATE


class Watch:
    """What happens in a directory; changes between two waits are not missed."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def wait(self, seconds: float) -> None:
        """Return when something has changed since the last wait, or after `seconds`."""
        if self._poll.poll(seconds * 1000):
            with contextlib.suppress(BlockingIOError):
                while os.read(self._fd, 65536):
                    pass


@contextlib.contextmanager
def watching(directory: str) -> Iterator[Watch]:
    """Watch a directory and the files in it."""
    fd = inotify_init()
    try:
        inotify_add_watch(fd, directory, _ANY_CHANGE)
        yield Watch(fd)
    finally:
        os.close(fd)
