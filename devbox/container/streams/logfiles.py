"""The files of a container's log in the order in which they were written, while s6-log goes on rotating them."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

_ARCHIVE = re.compile(r"@[0-9a-f]{24}\.[su]")
_BLOCK = 1 << 18
_TRIES = 100


class LogFile(NamedTuple):
    """A file by its place; the inode tells it apart when it is renamed."""

    name: str
    inode: int


def listed(directory: str) -> list[LogFile]:
    """Oldest first, each file once, whatever is renamed meanwhile."""
    files = list(_found(directory))
    for _ in range(_TRIES):
        again = list(_found(directory))
        if again == files:
            break
        files = again
    return files


def _found(directory: str) -> Iterator[LogFile]:
    try:
        archives = sorted(filter(_ARCHIVE.fullmatch, os.listdir(directory)))
    except FileNotFoundError:
        return
    seen = set()
    # while a file is rotated it is `previous`, then for a moment an archive as well
    for name in (*archives, "previous", "current"):
        with contextlib.suppress(FileNotFoundError):
            inode = os.stat(f"{directory}/{name}").st_ino
            if inode not in seen:
                yield LogFile(name, inode)
            seen.add(inode)


class Reader:
    """Whole lines, from the oldest file (or the one with inode `start`) to the newest, and on across rotations."""

    def __init__(self, directory: str, start: int = 0) -> None:
        self.directory = directory
        self._start = start
        self._fd = -1
        self._inode = 0
        self._rest = b""

    def close(self) -> None:
        """Give the open file back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def read(self) -> list[bytes]:
        """Some more lines without their newlines; none when all that was written has been read."""
        while not (lines := self._lines()):
            following = self._following()
            if following is None:
                return []
            # what was written between our last look and the rotation
            if lines := self._lines():
                break
            if self._open(following) and self._rest:
                # its writer was killed within a line
                lines, self._rest = [self._rest], b""
                break
        return lines

    def _lines(self) -> list[bytes]:
        while self._fd >= 0 and (block := os.read(self._fd, _BLOCK)):
            *lines, self._rest = (self._rest + block).split(b"\n")
            if lines:
                return lines
        return []

    def _following(self) -> LogFile | None:
        files = listed(self.directory)
        inodes = [file.inode for file in files]
        if self._inode in inodes:
            files = files[inodes.index(self._inode) + 1 :]
        elif self._start in inodes:
            files = files[inodes.index(self._start) :]
        return files[0] if files else None

    def _open(self, following: LogFile) -> bool:
        try:
            fd = os.open(f"{self.directory}/{following.name}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        if os.fstat(fd).st_ino != following.inode:
            os.close(fd)
            return False
        self.close()
        self._fd, self._inode, self._start = fd, following.inode, 0
        return True
