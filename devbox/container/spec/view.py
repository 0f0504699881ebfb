"""A container's files as its first process will see them, before any of its mounts is made.

A path is walked part by part through the root file system and the mounts placed so far, each by descriptor and
without the kernel following a link, so that what is found, made or mounted on is never outside of them.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from devbox.errors import RefusedError
from devbox.system.walk import FAULTS, make_directories, open_beneath, open_in_root, opened

LINKS_MAX = 40
"""the kernel's limit"""


class _Tree(NamedTuple):
    """What is mounted at `target`; without a descriptor the runtime makes it and nobody knows what is in it."""

    target: str
    fd: int | None
    read_only: bool = False
    empty: bool = False
    """a fresh tmpfs"""


class View:
    """The files of a container that is about to start; a context manager."""

    def __init__(self, root: int) -> None:
        """`root` is a descriptor of the mounted root file system, closed at the end."""
        self._trees = [_Tree("", root)]

    def __enter__(self) -> View:
        return self

    def __exit__(self, *_: object) -> None:
        for tree in self._trees:
            if tree.fd is not None:
                os.close(tree.fd)

    @property
    def root(self) -> int:
        """The descriptor of the root file system."""
        fd = self._trees[0].fd
        assert fd is not None
        return fd

    def cover(self, target: str, source: str | None, *, read_only: bool = False, empty: bool = False) -> None:
        """Mount a directory or file of the host (None: something of the runtime's) at a real path."""
        fd = None if source is None else os.open(source, os.O_PATH | os.O_CLOEXEC)
        self._trees.append(_Tree(target, fd, read_only, empty))

    def real(self, path: str) -> str:
        """The absolute path with all links resolved; parts that do not exist are kept as they are."""
        pending = path.split("/")[::-1]
        done: list[str] = []
        links = 0
        while pending:
            part = pending.pop()
            if part == "..":
                done[-1:] = []
            elif part not in ("", "."):
                destination = self._link("/".join(["", *done, part]))
                if destination is None:
                    done.append(part)
                    continue
                links += 1
                if links > LINKS_MAX:
                    raise RefusedError(f"{path} of the container leads through too many symbolic links")
                if destination.startswith("/"):
                    done.clear()
                pending.extend(reversed(destination.split("/")))
        return "/" + "/".join(done)

    def _link(self, path: str) -> str | None:
        """Where a path whose parents are real leads, None when it is no link."""
        fd = self.open_path(path)
        if fd is None:
            return None
        with opened(fd):
            if stat.S_ISLNK(os.fstat(fd).st_mode):
                return os.readlink("", dir_fd=fd)
        return None

    def open_path(self, real: str) -> int | None:
        """An O_PATH descriptor of a real path, of the link itself when it is one; None when it does not exist."""
        tree, rest = self._locate(real)
        if tree.fd is None:
            return None
        if not rest:
            return os.dup(tree.fd)
        with _refusing(real):
            try:
                return open_beneath(tree.fd, rest, os.O_PATH | os.O_NOFOLLOW)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                    return None
                raise

    def is_known(self, real: str) -> bool:
        """Whether `open_path` can tell what will be there."""
        tree, _ = self._locate(real)
        return tree.fd is not None or tree.empty

    def make_directory(self, real: str) -> None:
        """Make a directory and those above it where they are missing; RefusedError for anything in the way."""
        tree, rest = self._locate(real)
        if tree.fd is None:
            return
        with _refusing(real):
            if tree.read_only:
                os.close(open_in_root(tree.fd, rest or ".", os.O_PATH | os.O_DIRECTORY))
            else:
                os.close(make_directories(tree.fd, rest or "."))

    def make_file(self, real: str) -> None:
        """Make an empty file where there is none; RefusedError for anything but a file."""
        tree, rest = self._locate(real)
        if tree.fd is None:
            return
        with _refusing(real):
            if not tree.read_only and rest:
                _create_file(tree.fd, rest)
            with opened(open_beneath(tree.fd, rest, os.O_PATH) if rest else os.dup(tree.fd)) as fd:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise RefusedError(f"{real} of the container is not a regular file")

    def _locate(self, real: str) -> tuple[_Tree, str]:
        """The topmost tree that a real path lies in, and its path there without a leading slash."""
        path = "" if real == "/" else real
        found = self._trees[0]
        for tree in self._trees:
            if path == tree.target or path.startswith(tree.target + "/"):
                # a later mount hides an earlier one at or below its target
                found = tree
        return found, path[len(found.target) :].lstrip("/")


def _create_file(root: int, path: str) -> None:
    directory, _, name = path.rpartition("/")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with opened(make_directories(root, directory or ".")) as parent, contextlib.suppress(FileExistsError):
        os.close(os.open(name, flags, 0o644, dir_fd=parent))


@contextlib.contextmanager
def _refusing(real: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FAULTS:
            raise
        raise RefusedError(
            f"cannot use {real} of the container: {os.strerror(error.errno or 0).lower()}"
        ) from error
