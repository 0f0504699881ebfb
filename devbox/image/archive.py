"""Image archives as they arrive: a tar file, a stream of one, compressed or not, or a directory."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import posixpath
import stat
from collections.abc import Iterator
from typing import NamedTuple

from devbox.errors import DevboxError, NotFoundError, RefusedError, StoreError
from devbox.image.decompress import MAGIC_LENGTH, copy, decompressed, kind_of
from devbox.image.strictjson import SIZE_MAX
from devbox.image.tar.limits import Limits
from devbox.image.tar.source import Hasher, Slice, Source
from devbox.image.tar.tarfields import padding
from devbox.image.tar.tarread import entries
from devbox.system.files import write_all
from devbox.system.walk import FAULTS, open_beneath, open_root, opened

_ENTRIES_MAX = 50_000
_NAMES_MAX = 8 << 20
"""bytes of all names of an archive"""
_LINKS_MAX = 10


class Member(NamedTuple):
    """Where a file of the archive lies."""

    fd: int
    offset: int
    size: int

    def open(self, hasher: Hasher | None = None) -> Slice:
        """The bytes of the file."""
        return Slice(self.fd, self.offset, self.size, hasher=hasher)

    def head(self) -> bytes:
        """Its first bytes, which tell how it is compressed."""
        return os.pread(self.fd, min(self.size, MAGIC_LENGTH), self.offset)


class Archive:
    """The files of a tar archive by name."""

    def __init__(self, members: dict[str, Member], links: dict[str, str]) -> None:
        self._members = members
        self._links = links

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def member(self, name: str) -> Member:
        """The file of this name; RefusedError when there is none."""
        found = self._find(name)
        if found is None:
            raise RefusedError(f"the archive has no file {name[:200]!r}")
        return found

    def read(self, name: str) -> bytes:
        """A small file as a whole."""
        member = self.member(name)
        if member.size > SIZE_MAX:
            raise RefusedError(f"the archive's file {name[:200]!r} has more than {SIZE_MAX} bytes")
        return member.open().read(member.size)

    def _find(self, name: str) -> Member | None:
        name = posixpath.normpath(name)
        for _ in range(_LINKS_MAX):
            if name not in self._links:
                break
            name = posixpath.normpath(posixpath.join(posixpath.dirname(name), self._links[name]))
        return self._members.get(name)


class DirectoryArchive(Archive):
    """The same of a directory, in which no link is followed."""

    def __init__(self, root: int, stack: contextlib.ExitStack) -> None:
        super().__init__({}, {})
        self._root = root
        self._stack = stack
        self._opened: dict[str, Member | None] = {}

    def _find(self, name: str) -> Member | None:
        if name not in self._opened:
            self._opened[name] = self._open(posixpath.normpath(name))
        return self._opened[name]

    def _open(self, name: str) -> Member | None:
        try:
            fd = open_beneath(self._root, name, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in FAULTS:
                raise
            return None
        self._stack.callback(os.close, fd)
        there = os.fstat(fd)
        return Member(fd, 0, there.st_size) if stat.S_ISREG(there.st_mode) else None


@contextlib.contextmanager
def opened_archive(path: str, place: str) -> Iterator[Archive]:
    """The archive at `path` ("" for stdin); what cannot be read in any order is first copied to `place`."""
    with contextlib.ExitStack() as stack:
        if path and os.path.isdir(path):
            yield DirectoryArchive(stack.enter_context(opened(open_root(path))), stack)
        else:
            seekable = stack.enter_context(opened_file(path, place))
            yield _index(stack.enter_context(opened(_plain(seekable, place))))


@contextlib.contextmanager
def opened_file(path: str, place: str) -> Iterator[int]:
    """The file at `path` ("" for stdin), or when it is a pipe, a copy of all that comes, unnamed in `place`."""
    with opened(_open(path)) as fd:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            yield fd
        else:
            with opened(_spool(Source(fd, limit=Limits().size), place)) as copied:
                yield copied


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else os.dup(0)
    except FileNotFoundError:
        raise NotFoundError(f"no such file: {path}") from None
    except OSError as error:
        raise NotFoundError(f"cannot open {path}: {os.strerror(error.errno or 0).lower()}") from None


def _plain(fd: int, place: str) -> int:
    """The file itself, or what it is when decompressed."""
    size = os.fstat(fd).st_size
    kind = kind_of(os.pread(fd, MAGIC_LENGTH, 0))
    if not kind:
        return os.dup(fd)
    with decompressed(Slice(fd, 0, size), kind) as stream:
        return _spool(Source(stream, limit=Limits().for_input(size).size), place)


def _spool(source: Source, place: str) -> int:
    """An unnamed file with all of the source."""
    fd = os.open(place, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    try:
        copy(source, lambda data: write_all(fd, data))
    except OSError as error:
        os.close(fd)
        raise StoreError(
            f"cannot keep the archive in {place}: {os.strerror(error.errno or 0).lower()}",
            hint="loading needs room for the archive and for its layers; 'devbox system prune' makes some",
        ) from error
    except DevboxError:
        os.close(fd)
        raise
    return fd


class _Positioned(Slice):
    """Knows where it is and passes over contents without reading them."""

    def position(self) -> int:
        return self._offset - len(self._buffer)

    def skip(self, size: int) -> None:
        if size <= len(self._buffer):
            self._buffer = self._buffer[size:]
        elif self.position() + size > self._end:
            raise RefusedError("the archive ends in the middle of an entry")
        else:
            self._offset += size - len(self._buffer)
            self._buffer = memoryview(b"")


def _index(fd: int) -> Archive:
    members: dict[str, Member] = {}
    links: dict[str, str] = {}
    source = _Positioned(fd, 0, os.fstat(fd).st_size)
    names = 0
    if source.at_end():
        raise RefusedError("the archive is empty")
    for entry in entries(source, Limits(entries=_ENTRIES_MAX)):
        name = os.fsdecode(entry.name)
        names += len(entry.name) + len(entry.link)
        if names > _NAMES_MAX:
            raise RefusedError(f"the names in the archive have more than {_NAMES_MAX} bytes")
        if entry.holes is not None:
            raise RefusedError("the archive has a sparse file where images have none")
        if entry.kind == b"0":
            members[name] = Member(fd, source.position(), entry.size)
            source.skip(entry.size + padding(entry.size))
        elif entry.kind == b"2":
            links[name] = os.fsdecode(entry.link)
        elif entry.kind == b"1" and entry.link:
            links[name] = posixpath.relpath(os.fsdecode(entry.link).lstrip("/"), posixpath.dirname(name) or ".")
    return Archive(members, links)
