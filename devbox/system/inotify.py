"""Waiting for a directory to change."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import select
from collections.abc import Iterator

from devbox.system.syscalls import inotify_add_watch, inotify_init

IN_MODIFY = 0x2
IN_ATTRIB = 0x4
IN_CLOSE_WRITE = 0x8
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
ANY_CHANGE = IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE


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
def watching(directory: str, mask: int = ANY_CHANGE) -> Iterator[Watch]:
    """Watch a directory and the files in it."""
    fd = inotify_init()
    try:
        inotify_add_watch(fd, directory, mask)
        yield Watch(fd)
    finally:
        os.close(fd)
