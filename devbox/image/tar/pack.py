"""Tree -> canonical tar stream: the same tree always gives the same bytes.

Entries come depth first in the order of their names' bytes. Headers are ustar with PAX records only for what
ustar cannot say; there are no user names, and no times but mtime. The sha256 of a layer's stream is its diff_id.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from devbox.errors import RefusedError
from devbox.image.tar import marks
from devbox.image.tar.limits import PATH_MAX
from devbox.image.tar.tarfields import padding, show
from devbox.image.tar.tarwrite import END, header
from devbox.system.walk import inner_path, open_beneath

Sink = Callable[[bytes], object]

_BUFFER = 1 << 18
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TOP_MODE = 0o755


class Packed(NamedTuple):
    """What went into a stream."""

    entries: int
    size: int
    """bytes of regular files"""
    length: int
    """bytes of the stream"""


class Choice(NamedTuple):
    """What of a tree is packed, and how."""

    whiteouts: bool = True
    """the tree is an overlay's layer: its marks of deletion become `.wh.` files"""
    data: bool = True
    """False: only count, write nothing"""
    owner: tuple[int, int] | None = None
    """uid and gid of everything"""


def pack(root: int, write: Sink, *, choice: Choice = Choice()) -> Packed:  # noqa: B008
    """Write all below the directory `root`, which may change meanwhile, as a tar stream.

    Sockets are left out: tar has no word for them. Raises RefusedError for a tree that a layer cannot express.
    """
    packer = _Packer(write, choice)
    packer.top(root)
    packer.tree(root, b"")
    return packer.end()


def pack_at(parent: int, name: bytes, write: Sink, *, rename: bytes = b"", choice: Choice) -> Packed:
    """Write one file or directory with all below it; it is called `rename` in the stream when that is given."""
    packer = _Packer(write, choice)
    shown = rename or name
    packer.member(parent, name, shown)
    if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            packer.tree(fd, shown)
        finally:
            os.close(fd)
    return packer.end()


class _Packer:
    def __init__(self, write: Sink, choice: Choice) -> None:
        self._write = write
        self._choice = choice
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._links: dict[tuple[int, int], bytes] = {}
        self._entries = self._size = self._length = 0

    def end(self) -> Packed:
        self._put(END)
        self._flush()
        return Packed(self._entries, self._size, self._length)

    def top(self, root: int) -> None:
        """The top directory is part of the stream only when it is not as every top directory is."""
        there = os.fstat(root)
        xattrs = self._xattrs(inner_path(root), follow=True)
        if stat.S_IMODE(there.st_mode) != _TOP_MODE or there.st_uid or there.st_gid or xattrs:
            self._header(b"./", b"5", there, xattrs=xattrs)

    def tree(self, root: int, prefix: bytes) -> None:
        """All below `root`, whose name in the stream is `prefix`; few descriptors at any depth."""
        waiting = [_names(root)]
        path: list[bytes] = []
        directory = root
        try:
            while waiting:
                name = next(waiting[-1], None)
                if name is None:
                    waiting.pop()
                    path = path[:-1]
                    directory = _step(root, directory, path) or directory
                elif self.member(directory, name, b"/".join([*filter(None, [prefix]), *path, name])):
                    below = _step(root, directory, [*path, name])
                    if below is not None:
                        directory = below
                        path.append(name)
                        waiting.append(_names(below))
        finally:
            if directory != root:
                os.close(directory)

    def member(self, parent: int, name: bytes, shown: bytes) -> bool:
        """Write one entry; True when it is a directory. One that is gone meanwhile is passed over."""
        if len(shown) > PATH_MAX:
            raise RefusedError(f"a path has more than {PATH_MAX} bytes: {show(shown)}")
        try:
            there = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if self._choice.whiteouts and name.startswith(marks.WHITEOUT_PREFIX):
                raise marks.unkeepable(show(shown))
            return self._member(parent, name, shown, there)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.ELOOP:
                return False
            raise

    def _member(self, parent: int, name: bytes, shown: bytes, there: os.stat_result) -> bool:
        kind = stat.S_IFMT(there.st_mode)
        if kind == stat.S_IFDIR:
            self._directory(parent, name, shown, there)
            return True
        if self._choice.whiteouts and marks.is_whiteout(there):
            self._mark(shown.rpartition(b"/")[0], marks.WHITEOUT_PREFIX + name)
        elif kind != stat.S_IFSOCK and not self._known(shown, there):
            if kind == stat.S_IFREG:
                self._file(parent, name, shown)
            else:
                self._other(parent, name, shown, there)
        return False

    def _known(self, shown: bytes, there: os.stat_result) -> bool:
        """Write a hard link when this inode was written before."""
        if there.st_nlink < 2:
            return False
        first = self._links.setdefault((there.st_dev, there.st_ino), shown)
        if first == shown:
            return False
        self._header(shown, b"1", there, link=first)
        return True

    def _directory(self, parent: int, name: bytes, shown: bytes, there: os.stat_result) -> None:
        path = inner_path(parent, name)
        xattrs = self._xattrs(path)
        self._header(shown + b"/", b"5", there, xattrs=xattrs)
        if self._choice.whiteouts and marks.is_opaque(path):
            self._mark(shown, marks.OPAQUE_NAME)

    def _mark(self, directory: bytes, name: bytes) -> None:
        path = directory + b"/" + name if directory else name
        self._put(header(path, b"0", mode=0o600))
        self._entries += 1

    def _file(self, parent: int, name: bytes, shown: bytes) -> None:
        fd = os.open(name, _READ, dir_fd=parent)
        try:
            there = os.fstat(fd)
            if not stat.S_ISREG(there.st_mode):
                return
            self._header(shown, b"0", there, size=there.st_size, xattrs=self._xattrs(inner_path(fd), follow=True))
            self._size += there.st_size
            self._data(fd, there.st_size)
        finally:
            os.close(fd)

    def _data(self, fd: int, size: int) -> None:
        if not self._choice.data:
            self._length += size + padding(size)
            return
        left = size
        while left and (chunk := os.read(fd, min(left, _BUFFER))):
            self._put(chunk)
            left -= len(chunk)
        while left:  # it became shorter after its header was written
            self._put(bytes(min(left, _BUFFER)))
            left -= min(left, _BUFFER)
        self._put(bytes(padding(size)))

    def _other(self, parent: int, name: bytes, shown: bytes, there: os.stat_result) -> None:
        kind = {stat.S_IFLNK: b"2", stat.S_IFCHR: b"3", stat.S_IFBLK: b"4", stat.S_IFIFO: b"6"}
        link = os.fsencode(os.readlink(name, dir_fd=parent)) if stat.S_ISLNK(there.st_mode) else b""
        xattrs = self._xattrs(inner_path(parent, name))
        self._header(shown, kind[stat.S_IFMT(there.st_mode)], there, link=link, xattrs=xattrs)

    def _xattrs(self, path: bytes, *, follow: bool = False) -> dict[bytes, bytes]:
        return marks.attributes(path, follow=follow, alone=self._choice.whiteouts)

    def _header(
        self,
        shown: bytes,
        kind: bytes,
        there: os.stat_result,
        *,
        size: int = 0,
        link: bytes = b"",
        xattrs: dict[bytes, bytes] | None = None,
    ) -> None:
        uid, gid = self._choice.owner or (there.st_uid, there.st_gid)
        device = there.st_rdev if kind in b"34" else 0
        self._entries += 1
        self._put(
            header(
                shown,
                kind,
                mode=stat.S_IMODE(there.st_mode),
                uid=uid,
                gid=gid,
                size=size,
                mtime=there.st_mtime_ns,
                link=link,
                device=(os.major(device), os.minor(device)),
                xattrs=xattrs,
            )
        )

    def _put(self, data: bytes) -> None:
        self._length += len(data)
        if not self._choice.data:
            return
        self._pending.append(data)
        self._pending_size += len(data)
        if self._pending_size >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._write(b"".join(self._pending))
        self._pending.clear()
        self._pending_size = 0


def _names(directory: int) -> Iterator[bytes]:
    """The names in a directory, sorted; read through a descriptor of its own, as O_PATH ones cannot be."""
    fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        names = os.listdir(fd)
    finally:
        os.close(fd)
    yield from sorted(map(os.fsencode, names))


def _step(root: int, old: int, path: list[bytes]) -> int | None:
    """A descriptor of another directory of the tree, the old one closed; None when it is gone meanwhile."""
    try:
        fd = open_beneath(root, b"/".join(path), os.O_PATH | os.O_DIRECTORY) if path else root
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    if old != root:
        os.close(old)
    return fd
