"""The kernel's notices of changes in directories."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

MODIFY, ATTRIB, CLOSE_WRITE = 0x2, 0x4, 0x8
MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x40, 0x80, 0x100, 0x200
OVERFLOW, IGNORED, ISDIR = 0x4000, 0x8000, 0x40000000
CHANGES = MODIFY | ATTRIB | MOVED_FROM | MOVED_TO | CREATE | DELETE
_ONLYDIR, _NONBLOCK, _CLOEXEC = 0x1000000, os.O_NONBLOCK, os.O_CLOEXEC
_HEADER = struct.Struct("iIII")
_READ = 1 << 20


class Notice(NamedTuple):
    """Something has happened to a name in a watched directory."""

    watch: int
    mask: int
    cookie: int
    name: str


class Inotify:
    """Watches of single directories, and what they tell."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._checked(self._libc.inotify_init1(_NONBLOCK | _CLOEXEC), "inotify")

    def watch(self, path: str, mask: int = CHANGES) -> int:
        """Watch a directory; the same number again for one that is watched already. OSError when it is none."""
        number = self._libc.inotify_add_watch(self.fd, os.fsencode(path), mask | _ONLYDIR)
        return self._checked(number, path)

    def forget(self, watch: int) -> None:
        """Watch it no more; it may be gone."""
        self._libc.inotify_rm_watch(self.fd, watch)

    def read(self) -> Iterator[Notice]:
        """What has been told until now; it does not wait."""
        while True:
            try:
                data = os.read(self.fd, _READ)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                watch, mask, cookie, length = _HEADER.unpack_from(data, at)
                at += _HEADER.size
                yield Notice(watch, mask, cookie, os.fsdecode(data[at : at + length].rstrip(b"\0")))
                at += length

    def close(self) -> None:
        """End every watch."""
        os.close(self.fd)

    def _checked(self, number: int, what: str) -> int:
        if number >= 0:
            return number
        code = ctypes.get_errno()
        said = os.strerror(code) if code != errno.ENOSPC else "raise fs.inotify.max_user_watches"
        raise OSError(code, said, what)
