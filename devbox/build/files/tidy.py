"""What a step wrote, put in order before it becomes a layer.

Two things would differ from one run of the same step to the next: the places that were only made to mount
something on, and the times of files that were written just now. The first are removed, the second set to the
build's moment (see docs/internals/build.md).
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from devbox.errors import RefusedError
from devbox.image.tar import marks
from devbox.image.tar.limits import PATH_MAX
from devbox.system.walk import open_beneath, open_root, opened

_SECOND = 1_000_000_000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Stub(NamedTuple):
    """Something in an upper directory that is there for a mount only."""

    path: bytes
    inode: int = 0
    """0: it is not there yet, and is a directory when it is"""
    mode: int = 0
    owner: tuple[int, int] = (0, 0)


class Written(NamedTuple):
    """What an upper directory holds."""

    entries: int
    size: int
    """bytes of regular files"""


def stubs(upper: str, fresh: Iterable[str]) -> list[Stub]:
    """All that is in an upper directory before its step begins, and the directories to come, deepest last."""
    found = [Stub(os.fsencode(path.lstrip("/"))) for path in fresh]
    with opened(open_root(upper)) as root:
        for _, path, entry in _walk(root):
            there = entry.stat(follow_symlinks=False)
            found.append(Stub(path, there.st_ino, there.st_mode, (there.st_uid, there.st_gid)))
    return sorted(found, key=lambda stub: stub.path.count(b"/"))


def remove_stubs(upper: str, known: list[Stub]) -> None:
    """Remove the stubs that are still as empty as they were made."""
    with opened(open_root(upper)) as root:
        for stub in reversed(known):
            _remove_stub(root, stub)


def _remove_stub(root: int, stub: Stub) -> None:
    parent, _, name = stub.path.rpartition(b"/")
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), opened(_opened(root, parent)) as directory:
        there = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stub.inode and (there.st_ino, there.st_mode, (there.st_uid, there.st_gid)) != stub[1:]:
            return
        if stat.S_ISDIR(there.st_mode):
            _remove_if_empty(directory, name)
        elif stub.inode and stat.S_ISREG(there.st_mode) and not there.st_size:
            os.unlink(name, dir_fd=directory)


def _remove_if_empty(parent: int, name: bytes) -> None:
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def settle(upper: str, moment: int, since: int) -> Written:
    """Give everything that is newer than `moment`, or was written after `since`, the time `moment`.

    Times are seconds. Raises RefusedError for a name that a layer cannot hold.
    """
    limit, begun, wanted = moment * _SECOND, since * _SECOND, (moment * _SECOND, moment * _SECOND)
    entries = size = 0
    with opened(open_root(upper)) as root:
        for directory, path, entry in _walk(root):
            if os.fsencode(entry.name).startswith(marks.WHITEOUT_PREFIX):
                raise marks.unkeepable(f"/{os.fsdecode(path)}")
            there = entry.stat(follow_symlinks=False)
            entries += 1
            size += there.st_size if stat.S_ISREG(there.st_mode) else 0
            if there.st_mtime_ns > limit or there.st_mtime_ns >= begun:
                os.utime(entry.name, ns=wanted, dir_fd=directory, follow_symlinks=False)
        os.utime(root, ns=wanted)
    return Written(entries, size)


def _walk(root: int) -> Iterator[tuple[int, bytes, os.DirEntry[str]]]:
    """Every entry with a descriptor of its directory and its path; few descriptors at any depth."""
    waiting = [b""]
    while waiting:
        path = waiting.pop()
        if len(path) > PATH_MAX:
            raise RefusedError(f"a path has more than {PATH_MAX} bytes: /{os.fsdecode(path[:80])}...")
        with opened(_opened(root, path)) as directory, os.scandir(directory) as names:
            for entry in names:
                inner = path + b"/" + os.fsencode(entry.name) if path else os.fsencode(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(inner)
                yield directory, inner, entry


def _opened(root: int, path: bytes) -> int:
    return open_beneath(root, path or b".", _DIRECTORY)
