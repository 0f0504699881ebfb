"""The digest of what a COPY selects: what the cache compares.

Names, kinds, modes, link targets and bytes count, and owners and attributes where the tree is a stage's or an
image's; times do not. Where a memo is kept, a file whose status did not change is not read again.
"""

import sys

assert sys.platform == "linux"

import errno
import hashlib
import marshal
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from devbox.build.files.selection import Finder, Folder, Item, Origin, no_check
from devbox.errors import RefusedError, StateError
from devbox.image.tar.marks import attributes
from devbox.model.ignore import Matcher
from devbox.system.walk import inner_path, open_beneath, opened

_VERSION = b"1"
_CHUNK = 1 << 20
_RACY = 50_000_000
"""nanoseconds: a file that changed later than that may change again without its status telling"""
_GONE = (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EISDIR)
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Memo(Protocol):
    """What is remembered from one build to the next; it may forget."""

    def get(self, key: str) -> bytes | None: ...  # noqa: D102

    def put(self, key: str, value: bytes) -> None: ...  # noqa: D102


class Selection(NamedTuple):
    """The things that sources name, and a digest of all that a copy of them would contain."""

    digest: str
    origins: tuple[Origin, ...]
    tree: int
    """the descriptor that it was made from"""


def select(
    tree: int,
    sources: Sequence[str],
    *,
    matcher: Matcher | None = None,
    excludes: Sequence[str] = (),
    parents: bool = False,
    keep_owner: bool = False,
    memo: Memo | None = None,
    check: Callable[[], None] = no_check,
) -> Selection:
    """Find and hash what `sources` name in the tree below a descriptor.

    Raises NotFoundError for a source that is not there, RefusedError for what cannot be copied. `check` is called
    every so often, and may raise.
    """
    finder = Finder(tree, matcher=matcher, excludes=excludes, check=check)
    origins = tuple(origin for source in sources for origin in finder.find(source, parents=parents))
    hasher = _Hasher(tree, keep_owner=keep_owner, check=check)
    if memo is None:
        return Selection(hasher.digest(origins), origins, tree)
    started = time.time_ns()
    statuses = _digest_of_statuses(origins, keep_owner=keep_owner)
    known = memo.get(statuses)
    if known is not None:
        return Selection(known.decode(), origins, tree)
    place = os.fstat(tree)
    key = f"files:{place.st_dev}:{place.st_ino}:{hashlib.sha256(repr(sources).encode()).hexdigest()}"
    hasher.remember(memo.get(key))
    digest = hasher.digest(origins)
    memo.put(key, hasher.remembered(started))
    if not any(_is_racy(item, started) for item in _items(origins)):
        memo.put(statuses, digest.encode())
    return Selection(digest, origins, tree)


def _items(origins: Sequence[Origin]) -> Iterator[Item]:
    return (item for origin in origins for folder in origin.folders for item in folder.items)


def _is_racy(item: Item, started: int) -> bool:
    return item.ctime > started - _RACY


def _digest_of_statuses(origins: Sequence[Origin], *, keep_owner: bool) -> str:
    # format 2 has no references, which depend on how values are shared
    status = [
        (origin.name, origin.directory, [(folder.path, *map(tuple, folder.items)) for folder in origin.folders])
        for origin in origins
    ]
    return "status:" + hashlib.sha256(_VERSION + marshal.dumps((keep_owner, status), 2)).hexdigest()


def open_item(directory: int, item: Item, place: str) -> int:
    """A selected regular file, open for reading. Raises StateError when it is not what it was."""
    try:
        fd = os.open(item.name, _OPEN, dir_fd=directory)
    except OSError as error:
        if error.errno in _GONE:
            raise _changed(place) from error
        raise
    status = os.fstat(fd)
    if (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode) != (
        item.inode,
        item.size,
        item.mtime,
        item.ctime,
        item.mode,
    ):
        os.close(fd)
        raise _changed(place)
    return fd


def _changed(place: str) -> StateError:
    return StateError(f'"/{place}" changed while it was read', hint="build again")


class _Hasher:
    def __init__(self, tree: int, *, keep_owner: bool, check: Callable[[], None]) -> None:
        self._tree = tree
        self._keep_owner = keep_owner
        self._check = check
        self._links: dict[tuple[int, int], str] = {}
        self._known: dict[str, tuple[int, int, int, int, bytes]] = {}
        self._seen: dict[str, tuple[int, int, int, int, bytes]] = {}

    def remember(self, memo: bytes | None) -> None:
        """What an earlier build found in files."""
        if memo is not None:
            self._known = marshal.loads(memo)

    def remembered(self, started: int) -> bytes:
        """What this one did, but for files that may change without their status telling."""
        return marshal.dumps({place: seen for place, seen in self._seen.items() if seen[3] <= started - _RACY})

    def digest(self, origins: Sequence[Origin]) -> str:
        total = hashlib.sha256(_VERSION)
        for origin in origins:
            # the name of a directory means nothing: its contents are copied
            total.update(_record(b"directory") if origin.directory else _record(b"file", os.fsencode(origin.name)))
            for folder in origin.folders:
                self._folder(folder, total.update, named=origin.directory)
        return total.hexdigest()

    def _folder(self, folder: Folder, add: Callable[[bytes], object], *, named: bool) -> None:
        self._check()
        if not folder.items:
            return
        prefix = os.fsencode(folder.path + "/") if folder.path else b""
        with opened(open_beneath(self._tree, folder.place, os.O_RDONLY | os.O_DIRECTORY)) as fd:
            for item in folder.items:
                name = prefix + os.fsencode(item.name) if named else b""
                add(_record(name, *self._facts(fd, folder, item)))

    def _facts(self, fd: int, folder: Folder, item: Item) -> Iterator[bytes]:
        mode = item.mode
        # the kernel ignores a link's mode
        yield b"%o" % (stat.S_IFMT(mode) if stat.S_ISLNK(mode) else mode)
        if self._keep_owner:
            yield b"%d:%d" % (item.uid, item.gid)
            for name, value in attributes(inner_path(fd, item.name)).items():
                yield name + b"=" + value
        if stat.S_ISREG(mode):
            yield self._content(fd, folder, item)
        elif stat.S_ISLNK(mode):
            yield os.readlink(os.fsencode(item.name), dir_fd=fd)
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            if not self._keep_owner:
                raise RefusedError(f'"/{_place(folder, item)}" is a device', hint="a build context has none")
            yield b"%d" % item.rdev

    def _content(self, fd: int, folder: Folder, item: Item) -> bytes:
        place = _place(folder, item)
        if item.links > 1:
            first = self._links.setdefault((item.device, item.inode), place)
            if first != place:
                return b"link " + os.fsencode(first)
        status = (item.inode, item.size, item.mtime, item.ctime)
        known = self._known.get(place)
        digest = known[4] if known is not None and known[:4] == status else self._read(fd, item, place)
        self._seen[place] = (*status, digest)
        return digest

    def _read(self, directory: int, item: Item, place: str) -> bytes:
        content = hashlib.sha256()
        size = 0
        with opened(open_item(directory, item, place)) as fd:
            while data := os.read(fd, min(_CHUNK, item.size + 1 - size)):
                content.update(data)
                size += len(data)
                if len(data) == _CHUNK:
                    self._check()
                if size >= item.size:
                    break
        if size != item.size:
            raise _changed(place)
        return content.digest()


def _place(folder: Folder, item: Item) -> str:
    return item.name if folder.place == "." else f"{folder.place}/{item.name}"


def _record(*fields: bytes) -> bytes:
    """Fields that cannot run into each other."""
    return b"".join(b"%d:%b" % (len(field), field) for field in fields) + b"\n"
