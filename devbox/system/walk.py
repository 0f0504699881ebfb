"""Paths inside a tree that somebody else controls: walked by descriptor, never leaving the tree.

Names are bytes or str and need not be UTF-8. A `root` is a descriptor of the tree's top directory.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

from devbox.system.syscalls import (
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    openat2,
)

Name = str | bytes

DIRECTORY = os.O_PATH | os.O_DIRECTORY
FAULTS = (errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EROFS)
"""errors that are this machine's, not a stranger's tree's"""
_RETRIES = 100
_DEPTH_MAX = 64


def open_root(path: Name) -> int:
    """A descriptor of a tree's top directory; its own path is trusted, links in it are followed."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def open_in_root(root: int, path: Name, flags: int) -> int:
    """Open as a process chrooted to `root` would: links are followed, none leads out."""
    return _openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def open_beneath(root: int, path: Name, flags: int) -> int:
    """Open without following any link; OSError with ELOOP for a link, EXDEV for a way out."""
    return _openat2(root, path, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)


def _openat2(root: int, path: Name, flags: int, resolve: int) -> int:
    # the kernel answers EAGAIN when a rename elsewhere happens while it looks at ".."
    for _ in range(_RETRIES):
        try:
            return openat2(root, path, flags, resolve)
        except BlockingIOError:
            continue
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


@contextlib.contextmanager
def opened(fd: int) -> Iterator[int]:
    """Close the descriptor at the end of the block."""
    try:
        yield fd
    finally:
        os.close(fd)


def inner_path(fd: int, name: Name = b"") -> bytes:
    """A path for system calls that take no descriptor; its last component is the only one resolved anew."""
    base = b"/proc/self/fd/%d" % fd
    return base + b"/" + os.fsencode(name) if name else base


def make_directories(root: int, path: Name) -> int:
    """Open a directory in the tree, making what is missing on the way, 0755; the caller closes it."""
    with contextlib.suppress(FileNotFoundError):
        return open_in_root(root, path, DIRECTORY)
    made = b""
    fd = os.dup(root)
    try:
        for part in filter(None, os.fsencode(path).split(b"/")):
            made += b"/" + part
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=fd)
            following = open_in_root(root, made, DIRECTORY)
            os.close(fd)
            fd = following
    except BaseException:
        os.close(fd)
        raise
    return fd


def remove_at(parent: int, name: Name) -> None:
    """Delete a file, link or whole directory without following a link; absent is fine.

    Works at any depth with few descriptors: what lies too deep is moved up beside `name` first.
    """
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise
        _remove_filling(parent, os.fsencode(name))


def _remove_filling(parent: int, name: bytes) -> None:
    """A process that has just been told to end may write a last file where we have looked already."""
    for _ in range(_RETRIES):
        try:
            _remove_directory(parent, name)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
        else:
            return
    _remove_directory(parent, name)


def _remove_directory(parent: int, name: bytes) -> None:
    waiting = [name]
    while waiting:
        current = waiting.pop()
        fd = os.open(current, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        with opened(fd):
            _empty(fd, 0, parent, waiting)
        os.rmdir(current, dir_fd=parent)


def _empty(fd: int, depth: int, top: int, waiting: list[bytes]) -> None:
    for entry in _entries(fd):
        if not entry.is_dir(follow_symlinks=False):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.name, dir_fd=fd)
        elif depth >= _DEPTH_MAX:
            refuge = b".deep.%x.%x" % (entry.inode(), len(waiting))
            os.rename(entry.name, refuge, src_dir_fd=fd, dst_dir_fd=top)
            waiting.append(refuge)
        else:
            child = os.open(entry.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            with opened(child):
                _empty(child, depth + 1, top, waiting)
            os.rmdir(entry.name, dir_fd=fd)


def _entries(fd: int) -> list[os.DirEntry[str]]:
    with os.scandir(fd) as entries:
        return list(entries)
