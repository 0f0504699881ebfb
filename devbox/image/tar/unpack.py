"""Tar stream -> tree, without trust in the stream.

Every name is resolved by the kernel below the tree's own descriptor, so that no entry, link or chain of links
reaches what is outside. A layer is unpacked into an empty tree of its own, where it says of lower layers what
overlayfs says: a deleted name is a character device 0/0, a directory that hides its lower one is marked opaque.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import errno
import marshal
import os
import stat
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import IO, NamedTuple

from devbox.errors import ConflictError, DevboxError, RefusedError, StoreError
from devbox.image.tar.limits import PATH_MAX, Limits
from devbox.image.tar.marks import OPAQUE, OPAQUE_NAME, OWN_ATTRIBUTES, WHITEOUT_PREFIX, is_whiteout
from devbox.image.tar.source import Source
from devbox.image.tar.tarfields import Entry, padding, show
from devbox.image.tar.tarread import clean, entries
from devbox.system.walk import (
    DIRECTORY,
    FAULTS,
    inner_path,
    make_directories,
    open_beneath,
    open_in_root,
    remove_at,
)

_CACHED_DIRECTORIES = 128
_MEMORY_OF_DIRECTORIES = 4 << 20
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_Maker = Callable[[int], None]


class Policy(NamedTuple):
    """What an archive may do besides writing files."""

    whiteouts: bool = True
    """it is a layer: `.wh.` names delete"""
    devices: bool = True
    """False: device nodes are refused"""
    owner: tuple[int, int] | None = None
    """uid and gid of everything, whatever the archive says"""
    keep_kinds: bool = False
    """ConflictError where a directory and something else would replace each other"""


class Unpacked(NamedTuple):
    """What came out of an archive."""

    entries: int
    size: int
    """bytes of its regular files"""
    replaced: bool = False
    """an entry took the place of an earlier one, so the archive cannot be told from the tree any more"""


def extract(source: Source, root: int, *, limits: Limits | None = None, policy: Policy = Policy()) -> Unpacked:  # noqa: B008
    """Write an archive below the directory `root`; existing files of the same name are replaced.

    Directories get their modes, owners and times last. What was written when an error comes stays there.
    Raises RefusedError for hostile or broken archives, StoreError when the disk is full or fails.
    """
    count = size = 0
    with _Writer(source, root, policy) as writer:
        for entry in entries(source, limits or Limits()):
            count += 1
            size += entry.real_size or entry.size
            try:
                writer.put(entry)
            except (OSError, OverflowError, ValueError) as error:
                raise _explain(error, entry.name) from error
        writer.finish()
    return Unpacked(count, size, writer.replaced)


def _explain(error: Exception, name: bytes) -> DevboxError:
    reason = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
    if isinstance(error, OSError) and error.errno in FAULTS:
        return StoreError(f"cannot write {show(name)}: {reason}")
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        reason = "its path goes through a symbolic link that leads nowhere"
    return RefusedError(f"the archive's entry {show(name)} cannot be made: {reason}")


class _Writer:
    def __init__(self, source: Source, root: int, policy: Policy) -> None:
        import tempfile

        self._source = source
        self._root = root
        self._policy = policy
        self._open: dict[bytes, int] = {}
        self.replaced = False
        # spilled to a file: the memory of an archive with a million directories stays flat
        self._directories: IO[bytes] = tempfile.SpooledTemporaryFile(  # noqa: SIM115
            max_size=_MEMORY_OF_DIRECTORIES
        )

    def __enter__(self) -> _Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()
        self._directories.close()

    def put(self, entry: Entry) -> None:
        """Make one entry and take its data from the source."""
        directory, _, name = entry.name.rpartition(b"/")
        if self._policy.whiteouts and WHITEOUT_PREFIX in entry.name:
            if directory.startswith(WHITEOUT_PREFIX) or b"/" + WHITEOUT_PREFIX in directory:
                raise ValueError("a name below a deletion mark")
            if name.startswith(WHITEOUT_PREFIX):
                self._source.skip(entry.size + padding(entry.size))
                self._delete(directory, name)
                return
        if not name:
            self._put_root(entry)
            return
        parent = self._directory(directory)
        match entry.kind:
            case b"0":
                self._file(entry, parent, name)
            case b"1":
                self._hard_link(entry, parent, name)
            case b"5":
                self._make_directory(entry, parent, name)
            case _:
                self._node(entry, parent, name)

    def finish(self) -> None:
        """Give the directories what their contents must not disturb any more."""
        self._directories.seek(0)
        while True:
            try:
                path, mode, uid, gid, mtime, xattrs = marshal.load(self._directories)
            except EOFError:
                return
            try:
                fd = open_in_root(self._root, path or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except (FileNotFoundError, NotADirectoryError):
                continue  # a later entry replaced it
            except OSError as error:
                if error.errno == errno.ELOOP:
                    continue
                raise _explain(error, path) from error
            try:
                _describe(fd, inner_path(fd), mode, uid, gid, xattrs)
                os.utime(fd, ns=(mtime, mtime))
            except (OSError, OverflowError) as error:
                raise _explain(error, path) from error
            finally:
                os.close(fd)

    def _owner(self, entry: Entry) -> tuple[int, int]:
        return self._policy.owner or (entry.uid, entry.gid)

    def _put_root(self, entry: Entry) -> None:
        if entry.kind != b"5":
            raise ValueError("the top of the archive is not a directory")
        self._remember(b"", entry)

    def _remember(self, path: bytes, entry: Entry) -> None:
        uid, gid = self._owner(entry)
        marshal.dump((path, entry.mode, uid, gid, entry.mtime, dict(entry.xattrs)), self._directories)

    def _directory(self, path: bytes) -> int:
        if not path:
            return self._root
        fd = self._open.get(path)
        if fd is not None:
            return fd
        try:
            fd = open_in_root(self._root, path, DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            fd = self._make_parents(path)
        if len(self._open) >= _CACHED_DIRECTORIES:
            os.close(self._open.pop(next(iter(self._open))))
        self._open[path] = fd
        return fd

    def _make_parents(self, path: bytes) -> int:
        uid, gid = self._policy.owner or (0, 0)
        made = b""
        for part in path.split(b"/"):
            parent = made
            made = made + b"/" + part if made else part
            try:
                os.close(open_in_root(self._root, made, DIRECTORY))
            except (FileNotFoundError, NotADirectoryError):
                fd = make_directories(self._root, parent)
                try:
                    self._mkdir(fd, part, implied=True)
                finally:
                    os.close(fd)
                # a fixed time: the same archive gives the same tree
                marshal.dump((made, 0o755, uid, gid, 0, {}), self._directories)
        return open_in_root(self._root, path, DIRECTORY)

    def _make_directory(self, entry: Entry, parent: int, name: bytes) -> None:
        self._mkdir(parent, name)
        self._remember(entry.name, entry)

    def _mkdir(self, parent: int, name: bytes, *, implied: bool = False) -> None:
        """Make a directory unless there is one; what else is there gives way, unless it is only `implied`."""
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            there = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(there.st_mode):
                return
            hidden = self._policy.whiteouts and is_whiteout(there)
            if implied and not hidden:
                raise ValueError(f"{show(name)} is not a directory") from None
            self._refuse_other_kind(name)
            self._remove(parent, name)
            os.mkdir(name, 0o700, dir_fd=parent)
            if hidden:
                os.setxattr(inner_path(parent, name), OPAQUE, b"y", follow_symlinks=False)

    def _delete(self, directory: bytes, name: bytes) -> None:
        parent = self._directory(directory)
        if name == OPAQUE_NAME:
            os.setxattr(inner_path(parent), OPAQUE, b"y")
            return
        if name.startswith(b".wh..wh."):
            return  # bookkeeping of aufs
        target = name[len(WHITEOUT_PREFIX) :]
        if target in (b"", b".", b".."):
            raise ValueError("a deletion mark without a name")
        try:
            os.mknod(target, stat.S_IFCHR, 0, dir_fd=parent)
        except FileExistsError:
            # the layer's own file hides the lower one already; its own directory must be told to
            if stat.S_ISDIR(os.stat(target, dir_fd=parent, follow_symlinks=False).st_mode):
                os.setxattr(inner_path(parent, target), OPAQUE, b"y", follow_symlinks=False)

    def _remove(self, parent: int, name: bytes) -> None:
        remove_at(parent, name)
        self.replaced = True
        self._forget()

    def _make_room(self, parent: int, name: bytes) -> None:
        if self._policy.keep_kinds and stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            self._refuse_other_kind(name)
        self._remove(parent, name)

    def _refuse_other_kind(self, name: bytes) -> None:
        if self._policy.keep_kinds:
            raise ConflictError(f"cannot replace {show(name)}: only one of old and new is a directory")

    def _forget(self) -> None:
        # a cached descriptor may be of what was just replaced
        while self._open:
            os.close(self._open.popitem()[1])

    def _file(self, entry: Entry, parent: int, name: bytes) -> None:
        self._source.expect(entry.size)
        try:
            fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
        except FileExistsError:
            fd = self._create_anew(entry.name, name)
        try:
            if entry.holes is None:
                self._source.copy(entry.size, fd, path=entry.name)
            else:
                self._pieces(entry, fd)
            self._source.skip(padding(entry.size))
            uid, gid = self._owner(entry)
            os.fchown(fd, uid, gid)
            if entry.xattrs:
                _set_xattrs(inner_path(fd), entry.xattrs, regular=True)
            os.fchmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime, entry.mtime))
        finally:
            os.close(fd)

    def _create_anew(self, path: bytes, name: bytes) -> int:
        directory = path.rpartition(b"/")[0]
        self._make_room(self._directory(directory), name)
        return os.open(name, _CREATE, 0o600, dir_fd=self._directory(directory))

    def _pieces(self, entry: Entry, fd: int) -> None:
        os.ftruncate(fd, entry.real_size)
        for offset, length in entry.holes or ():
            os.lseek(fd, offset, os.SEEK_SET)
            self._source.copy(length, fd, path=entry.name, offset=offset)

    def _hard_link(self, entry: Entry, parent: int, name: bytes) -> None:
        target = clean(entry.link)
        if target == entry.name:
            return
        directory, _, last = target.rpartition(b"/")
        try:
            source = open_beneath(self._root, directory or b".", DIRECTORY)
        except OSError as error:
            raise ValueError(f"a hard link to {show(target)}, which the archive does not have") from error
        try:
            kind = stat.S_IFMT(os.stat(last, dir_fd=source, follow_symlinks=False).st_mode)
            if kind == stat.S_IFDIR:
                raise ValueError("a hard link to a directory")
            if kind in (stat.S_IFCHR, stat.S_IFBLK) and not self._policy.devices:
                raise ValueError("a hard link to a device")
            self._replacing(entry.name, name, lambda there: _link(source, last, there, name))
        except FileNotFoundError as error:
            raise ValueError(f"a hard link to {show(target)}, which the archive does not have") from error
        finally:
            os.close(source)

    def _node(self, entry: Entry, parent: int, name: bytes) -> None:
        maker = _maker(entry, name, devices=self._policy.devices)
        self._replacing(entry.name, name, maker)
        parent = self._directory(entry.name.rpartition(b"/")[0])
        uid, gid = self._owner(entry)
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        if entry.xattrs:
            _set_xattrs(inner_path(parent, name), entry.xattrs, regular=False)
        if entry.kind != b"2":
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                os.chmod(inner_path(fd), entry.mode)
            finally:
                os.close(fd)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _replacing(self, path: bytes, name: bytes, make: _Maker) -> None:
        directory = path.rpartition(b"/")[0]
        try:
            make(self._directory(directory))
        except FileExistsError:
            self._make_room(self._directory(directory), name)
            make(self._directory(directory))


def _link(source: int, target: bytes, parent: int, name: bytes) -> None:
    os.link(target, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)


def _maker(entry: Entry, name: bytes, *, devices: bool) -> _Maker:
    """How to make a link, device or FIFO in a directory."""
    if entry.kind == b"2":
        if not entry.link or b"\0" in entry.link or len(entry.link) > PATH_MAX:
            raise ValueError("a symbolic link with a malformed target")
        return lambda parent: os.symlink(entry.link, name, dir_fd=parent)
    if entry.kind == b"6":
        return lambda parent: os.mkfifo(name, 0o600, dir_fd=parent)
    if not devices:
        raise ValueError("a device node is not allowed here")
    if not (0 <= entry.major < 1 << 12 and 0 <= entry.minor < 1 << 20):
        raise ValueError("a device node with an impossible number")
    kind = stat.S_IFCHR if entry.kind == b"3" else stat.S_IFBLK
    device = os.makedev(entry.major, entry.minor)
    return lambda parent: os.mknod(name, kind | 0o600, device, dir_fd=parent)


def _describe(fd: int, path: bytes, mode: int, uid: int, gid: int, xattrs: Mapping[bytes, bytes]) -> None:
    os.fchown(fd, uid, gid)
    if xattrs:
        _set_xattrs(path, xattrs, regular=True)
    os.fchmod(fd, mode)


def _set_xattrs(path: bytes, xattrs: Mapping[bytes, bytes], *, regular: bool) -> None:
    """`path` is of an open descriptor (`regular`), or its last component is not followed."""
    for name, value in xattrs.items():
        if name.startswith(OWN_ATTRIBUTES):
            continue
        try:
            os.setxattr(path, name, value, follow_symlinks=regular)
        except OSError as error:
            # a file system without this kind of attribute; a capability that is lost would be a surprise
            if error.errno != errno.ENOTSUP or name == b"security.capability":
                raise
