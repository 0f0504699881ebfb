"""What the sources of a COPY name in a tree: walked, filtered, and hashed for the cache.

The tree may be a stranger's: every directory is opened beneath its top without following a link, links that a
source goes through are resolved here within the tree, and nothing but a regular file is ever opened for reading.
"""

import sys

assert sys.platform == "linux"

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from devbox.errors import NotFoundError, RefusedError
from devbox.model.ignore import Matcher, clean, is_wild, wildcard
from devbox.system.walk import FAULTS, open_beneath, opened

ENTRIES_MAX = 500_000
_PATH_MAX = 4095
_LINKS_MAX = 255
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Item(NamedTuple):
    """A name in a directory, as it was when it was listed."""

    name: str
    mode: int
    """its kind included"""
    uid: int
    gid: int
    size: int
    device: int
    inode: int
    links: int
    mtime: int
    ctime: int
    rdev: int


class Folder(NamedTuple):
    """A directory with those of its names that are selected."""

    path: str
    """below the source; "" for its top"""
    place: str
    """in the tree; "." for its top"""
    items: tuple[Item, ...]


class Origin(NamedTuple):
    """One thing that a source, or a match of its wildcards, names."""

    name: str
    """what a file is called in a directory that it is copied into"""
    directory: bool
    folders: tuple[Folder, ...]
    """of a directory: each one after the one that it is in. Of a file: one, with one item"""


def no_check() -> None:
    """For callers that nobody stops."""


class Finder:
    """Finds the sources of one instruction in a tree."""

    def __init__(
        self,
        tree: int,
        *,
        matcher: Matcher | None = None,
        excludes: Sequence[str] = (),
        check: Callable[[], None] = no_check,
    ) -> None:
        self._tree = tree
        self._matcher = matcher or None
        self._excludes = Matcher(excludes) if excludes else None
        self._check = check
        self._count = 0

    def find(self, source: str, *, parents: bool) -> list[Origin]:
        """What a source names: one thing, or all that its wildcards match, which may be nothing.

        Raises NotFoundError for a source without wildcards that names nothing.
        """
        if "\0" in source:
            raise NotFoundError("a source has a NUL character in its name")
        if parents:
            return self._with_parents(source)
        path = clean("/" + source)[1:] or "."
        if not is_wild(path):
            return [self._origin(path, os.path.basename(path))]
        return [
            self._origin(match, os.path.basename(match))
            for match in self._matches(path)
            if self._excludes is None or not self._excludes.excluded(os.path.basename(match))
        ]

    def _origin(self, path: str, name: str) -> Origin:
        place = self._resolved(path)
        status = self._status(place)
        if self._hidden(place, status.st_mode):
            raise _excluded(path)
        if stat.S_ISDIR(status.st_mode):
            return Origin(name, directory=True, folders=tuple(self._folders(place, None)))
        item = _item(os.path.basename(place), status)
        return Origin(name, directory=False, folders=(Folder("", os.path.dirname(place) or ".", (item,)),))

    def _with_parents(self, source: str) -> list[Origin]:
        pivot, found, pattern = source.partition("/./")
        if not found:
            pivot, pattern = "/", source
        pattern = clean("/" + pattern)[1:] or "."
        base = clean("/" + pivot)[1:] or "."
        if not is_wild(base) and not is_wild(pattern):
            path = clean(f"/{base}/{pattern}")[1:] or "."
            self._refuse_hidden(path, self._resolved(path))
        included = Matcher(["**" if pattern == "." else pattern])
        origins = []
        for match in self._matches(base) if is_wild(base) else [base]:
            place = self._resolved(match)
            if stat.S_ISDIR(self._status(place).st_mode):
                folders = tuple(self._folders(place, included))
                origins.append(Origin(os.path.basename(match), directory=True, folders=folders))
        return origins

    def _hidden(self, place: str, mode: int) -> bool:
        """Whether .dockerignore takes it out of the context; a directory stays if something in it does."""
        matcher = self._matcher
        if matcher is None or not matcher.excluded(place):
            return False
        if not stat.S_ISDIR(mode) or not matcher.may_take_back(place):
            return True
        inside = Finder(self._tree, matcher=matcher, check=self._check)
        return not any(folder.items for folder in inside._folders(place, None))

    def _refuse_hidden(self, path: str, place: str) -> None:
        if self._hidden(place, self._status(place).st_mode):
            raise _excluded(path)

    def _status(self, place: str) -> os.stat_result:
        directory, name = os.path.split(place)
        with opened(self._open(directory or ".")) as fd:
            return os.stat(name, dir_fd=fd, follow_symlinks=False)

    def _open(self, place: str) -> int:
        try:
            return open_beneath(self._tree, place, _LIST)
        except OSError as error:
            if error.errno in FAULTS:
                raise
            reason = os.strerror(error.errno or 0).lower()
            raise RefusedError(f'cannot read "/{place}": {reason}', hint="was it changed meanwhile?") from error

    def _resolved(self, path: str) -> str:
        """Where a path leads within the tree, its links followed as a process that is chrooted there would."""
        done: list[str] = []
        waiting = path.split("/")[::-1]
        links = 0
        while waiting:
            part = waiting.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            target = self._link("/".join(done) or ".", part, path)
            if target is None:
                done.append(part)
                continue
            if self._matcher is not None and self._matcher.excluded("/".join([*done, part])):
                raise _excluded(path)
            links += 1
            if links > _LINKS_MAX:
                raise RefusedError(f'"/{path}": too many symbolic links')
            if target.startswith("/"):
                done.clear()
            waiting.extend(target.split("/")[::-1])
        return "/".join(done) or "."

    def _link(self, directory: str, name: str, path: str) -> str | None:
        """What a symbolic link says; None for anything else that exists."""
        try:
            with opened(open_beneath(self._tree, directory, _LIST)) as fd:
                if not stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    return None
                return os.readlink(name, dir_fd=fd)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f'"/{path}": not found', hint=self._nearest(directory, name)) from error

    def _nearest(self, directory: str, name: str) -> str:
        from devbox.build.language.suggest import did_you_mean

        try:
            with opened(open_beneath(self._tree, directory, _LIST)) as fd:
                return did_you_mean(name, os.listdir(fd), "sources are looked for in the build context")
        except OSError:
            return "sources are looked for in the build context"

    def _matches(self, pattern: str) -> list[str]:
        """What wildcards match, in order. Raises NotFoundError when what stands before them is not there."""
        parts = pattern.split("/")
        literal = []
        while parts and not is_wild(parts[0]):
            literal.append(parts.pop(0))
        base = "/".join(literal)
        found = [(self._resolved(base or "."), base)]
        if base:
            self._refuse_hidden(base, found[0][0])
        for part in parts:
            expression = wildcard(part)
            found = [
                (_join(place, item.name), _join(shown, item.name))
                for place, shown in found
                for item in self._listed(place)
                if expression.fullmatch(item.name)
            ]
        return [shown for _, shown in found]

    def _listed(self, place: str) -> list[Item]:
        """The names of a directory that the context shows; none for anything else."""
        if place != "." and not stat.S_ISDIR(self._status(place).st_mode):
            return []
        with opened(self._open(place)) as fd:
            return [item for item in self._items(fd) if not self._hidden(_join(place, item.name), item.mode)]

    def _items(self, fd: int) -> list[Item]:
        with os.scandir(fd) as entries:
            items = [_item(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        items.sort()
        self._count += len(items)
        if self._count > ENTRIES_MAX:
            raise RefusedError(
                f"the source has more than {ENTRIES_MAX} files", hint="a .dockerignore leaves some out"
            )
        self._check()
        return items

    def _folders(self, top: str, included: Matcher | None) -> Iterator[Folder]:
        """A directory and all below it that is selected, parents first."""
        if included is None and self._matcher is None and self._excludes is None:
            return iter(self._everything(top))
        return iter(_without_empty(self._filtered(top, included)))

    def _everything(self, top: str) -> list[Folder]:
        found = []
        waiting = [("", top)]
        while waiting:
            path, place = waiting.pop()
            with opened(self._open(place)) as fd:
                items = self._items(fd)
            found.append(Folder(path, place, tuple(items)))
            waiting += [_deeper(path, place, item.name) for item in reversed(items) if stat.S_ISDIR(item.mode)]
        return found

    def _filtered(self, top: str, included: Matcher | None) -> list[tuple[Folder, set[str]]]:
        """Folders with the names in them that are there only for what is below."""
        found = []
        waiting = [("", top)]
        while waiting:
            path, place = waiting.pop()
            with opened(self._open(place)) as fd:
                items = self._items(fd)
            chosen: list[Item] = []
            passed: set[str] = set()
            for item in items:
                below = _deeper(path, place, item.name)
                wanted = self._wanted(*below, included)
                if not wanted and not (stat.S_ISDIR(item.mode) and self._may_contain(*below, included)):
                    continue
                chosen.append(item)
                if not wanted:
                    passed.add(item.name)
            found.append((Folder(path, place, tuple(chosen)), passed))
            waiting += [_deeper(path, place, item.name) for item in reversed(chosen) if stat.S_ISDIR(item.mode)]
        return found

    def _wanted(self, path: str, place: str, included: Matcher | None) -> bool:
        if included is not None and not included.excluded(path):
            return False
        if self._excludes is not None and self._excludes.excluded(path):
            return False
        return self._matcher is None or not self._matcher.excluded(place)

    def _may_contain(self, path: str, place: str, included: Matcher | None) -> bool:
        if included is not None and not included.excluded(path) and not included.may_match_below(path):
            return False
        for matcher, name in ((self._excludes, path), (self._matcher, place)):
            if matcher is not None and matcher.excluded(name) and not matcher.may_take_back(name):
                return False
        return True


def _excluded(path: str) -> NotFoundError:
    return NotFoundError(f'"/{path}": not found', hint="it is excluded by .dockerignore")


def _without_empty(found: list[tuple[Folder, set[str]]]) -> list[Folder]:
    """Drop directories that were looked into for nothing."""
    kept: list[Folder] = []
    needed = {""}
    for folder, passed in reversed(found):
        items = tuple(
            item for item in folder.items if item.name not in passed or _join(folder.path, item.name) in needed
        )
        if items:
            needed.add(folder.path)
        kept.append(folder._replace(items=items))
    kept.reverse()
    shown = {""} | {_join(folder.path, item.name) for folder in kept for item in folder.items}
    return [folder for folder in kept if folder.path in shown]


def _deeper(path: str, place: str, name: str) -> tuple[str, str]:
    deeper = _join(place, name)
    if len(os.fsencode(deeper)) > _PATH_MAX:
        raise RefusedError(f"a path has more than {_PATH_MAX} bytes: {deeper[:80]}...")
    return _join(path, name), deeper


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory not in ("", ".") else name


def _item(name: str, status: os.stat_result) -> Item:
    return Item(
        name,
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_size,
        status.st_dev,
        status.st_ino,
        status.st_nlink,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_rdev,
    )
