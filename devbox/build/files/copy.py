"""Writes what a COPY selected into a tree, by BuildKit's rules.

- A directory's contents are copied, not itself; into a directory that exists and keeps its mode and owner, or into
  a new one. Directories below it get the mode and owner of their source in any case.
- A file gets the destination's name, or its own where the destination is a directory or ends with a slash.
- Links at the destination are followed within the tree; what lies below is replaced, links included, but a
  directory and something else never replace each other.
- What is missing on the way is made, 0755 or as --chmod says.
"""

import sys

assert sys.platform == "linux"

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from devbox.build.files import chmod
from devbox.build.files.selecting import Selection, open_item
from devbox.build.files.selection import Folder, Item, Origin, no_check
from devbox.errors import ConflictError, NotFoundError, RefusedError, StateError
from devbox.image.tar.marks import attributes
from devbox.system.files import write_all
from devbox.system.walk import DIRECTORY, inner_path, open_beneath, open_in_root, opened

_CHUNK = 1 << 20
_DIRECTORY_MODE = 0o755
_LINKS_MAX = 40
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class How(NamedTuple):
    """What else a copy does."""

    owner: tuple[int, int] | None = None
    """uid and gid of everything that is written; None keeps those of the source"""
    mode: chmod.Spec | None = None
    keep_times: bool = False
    foreign: bool = False
    """the source is a stage or an image: its devices and extended attributes are copied, too"""


class Place(NamedTuple):
    """Where a file goes: a name in an open directory."""

    directory: int
    name: str


def write(
    selection: Selection,
    target: int,
    destination: str,
    how: How = How(),  # noqa: B008
    check: Callable[[], None] = no_check,
    *,
    many: bool | None = None,
) -> None:
    """Copy a selection to an absolute path of the tree `target`; one that ends with "/" is a directory.

    Raises ConflictError where a directory and something else would replace each other, StateError for a file that
    changed since it was selected. What was written when an error comes stays there.
    """
    writer = _Writer(selection.tree, target, how, check)
    if many is None:
        many = len(selection.origins) > 1
    for origin in selection.origins:
        writer.origin(origin, destination, many=many)
    writer.finish()


def write_file(
    target: int, destination: str, name: str, source: int | bytes, how: How, *, mode: int = 0o644
) -> None:
    """Write one file from bytes or an open descriptor, named `name` where the destination is a directory."""
    writer = _Writer(-1, target, how, no_check)
    with writer.place(destination, name) as place:
        writer.make_room(place)
        with opened(os.open(place.name, _CREATE, 0o600, dir_fd=place.directory)) as fd:
            if isinstance(source, bytes):
                write_all(fd, source)
            else:
                _copy_bytes(source, fd, None, no_check)
            os.fchown(fd, *(how.owner or (0, 0)))
            os.fchmod(fd, chmod.apply(how.mode, stat.S_IFREG | mode))


def make_directory(target: int, path: str, how: How) -> int:
    """Open a directory of the tree, made if it is missing, with all above it; the caller closes it."""
    return _Writer(-1, target, how, no_check).directory(path)


class _Writer:
    def __init__(self, tree: int, target: int, how: How, check: Callable[[], None]) -> None:
        self._tree = tree
        self._target = target
        self._how = how
        self._check = check
        self._links: dict[tuple[int, int], str] = {}
        """where the first name of a file with several was written"""
        self._times: list[tuple[str, int]] = []

    def origin(self, origin: Origin, destination: str, *, many: bool) -> None:
        if origin.directory:
            os.close(self.directory(destination))
            for folder in origin.folders:
                self._folder(folder, destination)
            return
        folder = origin.folders[0]
        with (
            self.place(destination, origin.name, many=many) as place,
            opened(open_beneath(self._tree, folder.place, os.O_RDONLY | os.O_DIRECTORY)) as source,
        ):
            self._put(source, folder, folder.items[0], place, "")

    def finish(self) -> None:
        """Give directories their times, which their contents must not disturb any more."""
        for path, mtime in reversed(self._times):
            with opened(open_in_root(self._target, path, os.O_RDONLY | os.O_DIRECTORY)) as fd:
                os.utime(fd, ns=(mtime, mtime))

    def directory(self, path: str) -> int:
        """Open a directory, links followed within the tree, making what is missing."""
        try:
            return open_in_root(self._target, path or "/", DIRECTORY)
        except FileNotFoundError:
            pass
        except NotADirectoryError as error:
            raise ConflictError(f"cannot copy to non-directory: {path}") from error
        parent, name = os.path.split(path.rstrip("/"))
        if name in ("", ".", ".."):
            return self.directory(parent)
        with opened(self.directory(parent)) as fd:
            self._make(fd, name, path)
        try:
            return open_in_root(self._target, path, DIRECTORY)
        except FileNotFoundError as error:
            raise NotFoundError(f"{path} is a symbolic link that leads nowhere") from error

    def _make(self, parent: int, name: str, path: str) -> None:
        mode = self._how.mode if isinstance(self._how.mode, int) else _DIRECTORY_MODE
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            return  # a link; opening it tells where it leads
        except OSError as error:
            raise _unwritable(path, error) from error
        os.chown(name, *(self._how.owner or (0, 0)), dir_fd=parent, follow_symlinks=False)
        os.chmod(name, mode, dir_fd=parent)

    @contextlib.contextmanager
    def place(self, destination: str, name: str, *, many: bool = False) -> Iterator[Place]:
        """Where a file that is called `name` goes."""
        if destination.endswith(("/", "/.", "/..")) or self._is_directory(destination):
            with opened(self.directory(destination)) as fd:
                yield Place(fd, name)
            return
        if many:
            raise RefusedError(
                f"with more than one source file, the destination {destination} must be a directory",
                hint=f"write {destination}/",
            )
        parent, last = os.path.split(self._behind_links(destination))
        with opened(self.directory(parent)) as fd:
            yield Place(fd, last)

    def _is_directory(self, path: str) -> bool:
        try:
            os.close(open_in_root(self._target, path, DIRECTORY))
        except OSError:
            return False
        return True

    def _behind_links(self, path: str) -> str:
        """The path that a file's name leads to when it is a link."""
        for _ in range(_LINKS_MAX):
            parent, name = os.path.split(path)
            try:
                with opened(open_in_root(self._target, parent, DIRECTORY)) as fd:
                    link = os.readlink(name, dir_fd=fd)
            except OSError as error:
                if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
                    return path
                raise _unwritable(path, error) from error
            path = os.path.join(parent, link)
        raise RefusedError(f"{path}: too many symbolic links")

    def make_room(self, place: Place) -> None:
        """Remove what a file is to replace."""
        try:
            there = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(there.st_mode):
            raise ConflictError(f"cannot replace to directory {place.name} with file")
        os.unlink(place.name, dir_fd=place.directory)

    def _folder(self, folder: Folder, destination: str) -> None:
        self._check()
        if not folder.items:
            return
        path = f"{destination.rstrip('/')}/{folder.path}" if folder.path else destination
        with (
            opened(open_in_root(self._target, path, DIRECTORY)) as parent,
            opened(open_beneath(self._tree, folder.place, os.O_RDONLY | os.O_DIRECTORY)) as source,
        ):
            for item in folder.items:
                self._put(source, folder, item, Place(parent, item.name), f"{path.rstrip('/')}/{item.name}")

    def _put(self, source: int, folder: Folder, item: Item, place: Place, path: str) -> None:
        try:
            if stat.S_ISDIR(item.mode):
                self._put_directory(source, item, place, path)
                return
            self.make_room(place)
            if stat.S_ISREG(item.mode):
                self._put_file(source, folder, item, place, path)
            else:
                self._put_node(source, folder, item, place)
        except OSError as error:
            raise _unwritable(path or place.name, error) from error

    def _put_directory(self, source: int, item: Item, place: Place, path: str) -> None:
        try:
            os.mkdir(place.name, 0o700, dir_fd=place.directory)
        except FileExistsError:
            there = os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
            if not stat.S_ISDIR(there.st_mode):
                raise ConflictError(f"cannot copy to non-directory: {path}") from None
        os.chown(place.name, *self._owner(item), dir_fd=place.directory, follow_symlinks=False)
        self._copy_attributes(source, item, place)
        os.chmod(place.name, chmod.apply(self._how.mode, item.mode), dir_fd=place.directory)
        if self._how.keep_times:
            self._times.append((path, item.mtime))

    def _put_file(self, source: int, folder: Folder, item: Item, place: Place, path: str) -> None:
        if item.links > 1 and path:
            first = self._links.setdefault((item.device, item.inode), path)
            if first != path:
                self._link(first, place)
                return
        shown = f"{folder.place}/{item.name}"
        with (
            opened(open_item(source, item, shown)) as reader,
            opened(os.open(place.name, _CREATE, 0o600, dir_fd=place.directory)) as fd,
        ):
            if _copy_bytes(reader, fd, item.size, self._check) != item.size:
                raise StateError(f'"/{shown}" changed while it was read', hint="build again")
            os.fchown(fd, *self._owner(item))
            self._copy_attributes(source, item, place)
            os.fchmod(fd, chmod.apply(self._how.mode, item.mode))
            if self._how.keep_times:
                os.utime(fd, ns=(item.mtime, item.mtime))

    def _link(self, first: str, place: Place) -> None:
        parent, name = os.path.split(first)
        with opened(open_in_root(self._target, parent, DIRECTORY)) as fd:
            os.link(name, place.name, src_dir_fd=fd, dst_dir_fd=place.directory, follow_symlinks=False)

    def _put_node(self, source: int, folder: Folder, item: Item, place: Place) -> None:
        kind = stat.S_IFMT(item.mode)
        mode = chmod.apply(self._how.mode, item.mode)
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(item.name, dir_fd=source), place.name, dir_fd=place.directory)
        elif kind == stat.S_IFIFO:
            os.mkfifo(place.name, 0o600, dir_fd=place.directory)
        elif kind == stat.S_IFSOCK:
            # nobody listens at a copy; docker leaves an empty file
            os.close(os.open(place.name, _CREATE, 0o600, dir_fd=place.directory))
        elif self._how.foreign:
            os.mknod(place.name, kind | 0o600, item.rdev, dir_fd=place.directory)
        else:
            raise RefusedError(f'"/{folder.place}/{item.name}" is a device', hint="a build context has none")
        os.chown(place.name, *self._owner(item), dir_fd=place.directory, follow_symlinks=False)
        if kind != stat.S_IFLNK:
            os.chmod(place.name, mode, dir_fd=place.directory)
        self._copy_attributes(source, item, place)
        if self._how.keep_times:
            times = (item.mtime, item.mtime)
            os.utime(place.name, ns=times, dir_fd=place.directory, follow_symlinks=False)

    def _owner(self, item: Item) -> tuple[int, int]:
        return self._how.owner or (item.uid, item.gid)

    def _copy_attributes(self, source: int, item: Item, place: Place) -> None:
        if not self._how.foreign:
            return
        path = inner_path(place.directory, place.name)
        for name, value in attributes(inner_path(source, item.name)).items():
            try:
                os.setxattr(path, name, value, follow_symlinks=False)
            except OSError as error:
                if error.errno != errno.ENOTSUP or name == b"security.capability":
                    raise


def _copy_bytes(source: int, target: int, size: int | None, check: Callable[[], None]) -> int:
    """Copy to the end, or just beyond `size`; how many bytes that were."""
    copied = 0
    while data := os.read(source, _CHUNK if size is None else min(_CHUNK, size + 1 - copied)):
        write_all(target, data)
        copied += len(data)
        if len(data) == _CHUNK:
            check()
        elif copied == size:
            break
    return copied


def _unwritable(path: str, error: OSError) -> RefusedError | OSError:
    """What the tree itself makes impossible is told of the path; this machine's faults are told as they are."""
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EXDEV):
        return RefusedError(f"cannot copy to {path}: {os.strerror(error.errno).lower()}")
    return error
