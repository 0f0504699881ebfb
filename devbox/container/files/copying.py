"""docker's cp: what is copied to where, between trees that somebody may change meanwhile.

Both sides are trees with a descriptor of their root: the host's, or a container's as `filesystem.entered` shows
it. Every path is resolved by the kernel inside its tree, and what was resolved is held by descriptor.
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

from devbox.container.files.streaming import UNBOUNDED, stream
from devbox.errors import ConflictError, DevboxError, NotFoundError, RefusedError, StateError, StoreError
from devbox.image.tar.limits import Limits
from devbox.image.tar.pack import Choice, Packed, Sink, pack, pack_at
from devbox.image.tar.source import Source
from devbox.image.tar.tarfields import show
from devbox.image.tar.unpack import Policy, extract
from devbox.system.syscalls import syncfs
from devbox.system.walk import DIRECTORY, open_in_root, opened

_LINKS_MAX = 40
_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_ST_RDONLY = 1


class Tree(NamedTuple):
    """One side of a copy."""

    root: int
    """descriptor of its root directory"""
    place: str
    """of messages: "in container web", or "on this host" """


class Origin(NamedTuple):
    """What is copied: `name` in `parent`, or with `contents` all below that directory without itself."""

    parent: int
    name: bytes
    shown: bytes
    """its name as it was asked for"""
    is_directory: bool
    contents: bool = False


class Target(NamedTuple):
    """Where it goes: an existing directory, or `name` in one."""

    directory: int
    name: bytes = b""
    """empty: into the directory"""
    exists: bool = True
    asserts_directory: bool = False


@contextlib.contextmanager
def origin(tree: Tree, path: str, *, follow: bool = False) -> Iterator[Origin]:
    """Find what a path names; its last component is followed with `follow` or when it ends in a slash.

    Raises NotFoundError, RefusedError for a file whose path ends in a slash.
    """
    asserted = _asserts_directory(path)
    contents = path.rstrip("/").rpartition("/")[2] == "." or not path.strip("/")
    parent, name = os.path.split(os.path.normpath("/" + path))
    with contextlib.ExitStack() as stack:
        try:
            fd, last, there = _last(tree.root, parent, name, stack, follow=follow or asserted)
        except OSError as error:
            raise _unreachable(tree, path, error) from error
        if there is None:
            raise NotFoundError(f"no such file or directory {tree.place}: {path}")
        if stat.S_ISDIR(there.st_mode):
            # a directory is held by its own descriptor: its name may become another's
            fd = stack.enter_context(opened(_open_directory(tree, fd, last, path)))
            yield Origin(fd, b".", os.fsencode(name), is_directory=True, contents=contents)
            return
        if asserted:
            raise RefusedError(f"not a directory {tree.place}: {path}")
        yield Origin(fd, last, os.fsencode(name), is_directory=False)


@contextlib.contextmanager
def target(tree: Tree, path: str) -> Iterator[Target]:
    """Find where a path leads, through any links at its end; its parent must exist.

    Raises NotFoundError, RefusedError for what is neither a directory nor a regular file.
    """
    asserted = _asserts_directory(path)
    parent, name = os.path.split(os.path.normpath("/" + path))
    with contextlib.ExitStack() as stack:
        try:
            fd, last, there = _last(tree.root, parent, name, stack, follow=True)
        except OSError as error:
            raise _unreachable(tree, path, error) from error
        if there is None:
            yield Target(fd, last, exists=False, asserts_directory=asserted)
        elif stat.S_ISDIR(there.st_mode):
            yield Target(stack.enter_context(opened(_open_directory(tree, fd, last, path))))
        elif asserted or not stat.S_ISREG(there.st_mode):
            kinds = "a directory" if asserted else "a directory or a regular file"
            raise RefusedError(f"the destination {path} {tree.place} must be {kinds}")
        else:
            yield Target(fd, last)


def copy(source: Origin, destination: Target, *, owner: tuple[int, int] | None, devices: bool) -> int:
    """Copy by docker's rules; the bytes of the stream. `owner` is given to everything, None keeps owners.

    Raises RefusedError where the rules do not allow it, ConflictError where a directory and a file would replace
    each other.
    """
    name = _name_there(source, destination)
    _check_writable(destination)
    written: list[Packed] = []
    policy = Policy(whiteouts=False, devices=devices, owner=owner, keep_kinds=True)
    stream(
        lambda write: written.append(_pack(source, name, write)),
        lambda reader: extract(
            Source(reader, limit=UNBOUNDED.size), destination.directory, limits=UNBOUNDED, policy=policy
        ),
    )
    if name and not written[0].entries:
        raise RefusedError(f"cannot copy {show(source.shown)}: it is a socket, or was changed meanwhile")
    _sync(destination.directory)
    return written[0].length


def write_archive(source: Origin, write: Sink) -> int:
    """Write what is copied as a tar stream; its length in bytes."""
    return _pack(source, b"" if source.contents else source.shown, write).length


@contextlib.contextmanager
def plain(fd: int) -> Iterator[Source]:
    """A tar stream that may be compressed, ready to be unpacked; bombs stop at a limit."""
    from devbox.image.decompress import MAGIC_LENGTH, decompressed, kind_of

    limits = Limits()
    head = b""
    while len(head) < MAGIC_LENGTH and (more := os.read(fd, MAGIC_LENGTH - len(head))):
        head += more
    stored = _Continued(fd, head, limits.size)
    kind = kind_of(head)
    if not kind:
        yield stored
        return
    with decompressed(stored, kind) as stream:
        yield Source(stream, limit=limits.size)


class _Continued(Source):
    """A source whose first bytes were read already."""

    def __init__(self, fd: int, head: bytes, limit: int) -> None:
        super().__init__(fd, limit=limit)
        self._head = head

    def _next(self) -> bytes:
        head, self._head = self._head, b""
        return head or super()._next()


def read_archive(source: Source, destination: Target) -> int:
    """Unpack a tar stream into an existing directory of a container; the bytes of its files."""
    if destination.name:
        raise RefusedError("the destination of an archive must be a directory that exists")
    _check_writable(destination)
    policy = Policy(whiteouts=False, keep_kinds=True)
    unpacked = extract(source, destination.directory, policy=policy)
    _sync(destination.directory)
    return unpacked.size


def _name_there(source: Origin, destination: Target) -> bytes:
    """The name of the top entry in the destination's directory, empty to copy only what is below it."""
    if not destination.name:
        return b"" if source.contents else source.shown
    if destination.exists and source.is_directory:
        raise ConflictError(f"cannot copy a directory onto the file {show(destination.name)}")
    if not destination.exists and destination.asserts_directory and not source.is_directory:
        raise NotFoundError(
            f"no such directory: {show(destination.name)}",
            hint="a file can be copied into a directory that exists",
        )
    return destination.name


def _pack(source: Origin, name: bytes, write: Sink) -> Packed:
    choice = Choice(whiteouts=False)
    if not name:
        return pack(source.parent, write, choice=choice)
    return pack_at(source.parent, source.name, write, rename=name, choice=choice)


def _last(
    root: int, parent: str, name: str, stack: contextlib.ExitStack, *, follow: bool
) -> tuple[int, bytes, os.stat_result | None]:
    """The directory, name and status (None: absent) of a path's last component, links followed if asked for."""
    directory = os.fsencode(parent)
    last = os.fsencode(name) or b"."
    for _ in range(_LINKS_MAX):
        fd = stack.enter_context(opened(open_in_root(root, directory, DIRECTORY)))
        try:
            there = os.stat(last, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            return fd, last, None
        if not follow or not stat.S_ISLNK(there.st_mode):
            return fd, last, there
        # ".." in a link counts from where the kernel finds it, so the path is not shortened here
        link = os.path.join(directory, os.readlink(last, dir_fd=fd)).rstrip(b"/")
        directory, last = os.path.split(link)
        if last in (b"", b".", b".."):
            directory, last = link or b"/", b"."
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _open_directory(tree: Tree, parent: int, name: bytes, path: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=parent)
    except OSError as error:
        raise _unreachable(tree, path, error) from error


def _asserts_directory(path: str) -> bool:
    return path.endswith(("/", "/.", "/..")) or path in (".", "..", "")


def _unreachable(tree: Tree, path: str, error: OSError) -> DevboxError:
    if error.errno in _ABSENT:
        return NotFoundError(f"no such file or directory {tree.place}: {path}")
    return RefusedError(f"cannot open {path} {tree.place}: {os.strerror(error.errno or 0).lower()}")


def _check_writable(destination: Target) -> None:
    if os.fstatvfs(destination.directory).f_flag & _ST_RDONLY:
        raise StateError("the destination is on a file system that is mounted read-only")


def _sync(directory: int) -> None:
    try:
        with opened(os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)) as fd:
            syncfs(fd)
    except OSError as error:
        raise StoreError(f"cannot write to disk: {os.strerror(error.errno or 0).lower()}") from error
