"""Files written whole or not at all, and data that is on disk before anybody is told of it."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
from collections.abc import Iterator

from devbox.errors import StoreError


@contextlib.contextmanager
def replacing(path: str, *, mode: int = 0o600, durable: bool = True) -> Iterator[int]:
    """A file beside its place, to be written in the block; at its good end it is synced and renamed there."""
    temporary = f"{path}.{os.getpid()}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        yield fd
        if durable:
            os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(fd)
    if durable:
        sync_directory(os.path.dirname(path) or ".")


def write_atomic(path: str, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Write a file that is there as a whole or not at all."""
    with replacing(path, mode=mode, durable=durable) as fd:
        write_all(fd, data)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write every byte, however often write(2) stops early."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_in_place(path: str, data: bytes) -> None:
    """Replace a file's content and keep its inode; a file that has it already is left alone."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        if os.pread(fd, len(data) + 1, 0) == data:
            return
        write_all(fd, data)
        os.ftruncate(fd, len(data))
    finally:
        os.close(fd)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_tree(path: str) -> None:
    """Delete a directory and all below it, however deep, without following a link; absent is fine.

    Raises StoreError when something stays.
    """
    from devbox.system.walk import open_root, opened, remove_at

    parent, name = os.path.split(os.path.abspath(path))
    try:
        with opened(open_root(parent)) as fd:
            remove_at(fd, name)
    except FileNotFoundError:
        if os.path.lexists(path):
            remove_tree(path)
    except OSError as error:
        raise StoreError(f"cannot delete {path}: {os.strerror(error.errno or 0).lower()}") from error
