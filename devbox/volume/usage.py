"""How much a volume holds."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import errno
import os

from devbox.system.walk import open_beneath, open_root, opened

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def size(path: str) -> int:
    """Bytes of the regular files below a directory, hard links counted once; 0 when it is gone.

    What changes meanwhile, and what lies too deep to be named, is passed over.
    """
    try:
        root = open_root(path)
    except FileNotFoundError:
        return 0
    total = 0
    seen: set[tuple[int, int]] = set()
    waiting = ["."]
    with opened(root):
        while waiting:
            directory = waiting.pop()
            try:
                fd = open_beneath(root, directory, os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                continue
            with opened(fd), os.scandir(fd) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{directory}/{entry.name}")
                    else:
                        total += _bytes(entry, seen)
    return total


def _bytes(entry: os.DirEntry[str], seen: set[tuple[int, int]]) -> int:
    with contextlib.suppress(FileNotFoundError):
        there = entry.stat(follow_symlinks=False)
        key = (there.st_dev, there.st_ino)
        if entry.is_file(follow_symlinks=False) and key not in seen:
            if there.st_nlink > 1:
                seen.add(key)
            return there.st_size
    return 0
