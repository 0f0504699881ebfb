"""What one image has that another has not: trees compared where a layer of only one has touched them."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from devbox.image import layers
from devbox.image.tar import marks
from devbox.model.image import Image
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system.namespaces import private_mounts
from devbox.system.syscalls import mount
from devbox.system.walk import inner_path, open_beneath, open_root, opened

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_CHUNK = 1 << 18


class Change(NamedTuple):
    """A path that the images do not have alike; sizes are those of regular files, None where there is nothing."""

    kind: Literal["A", "C", "D"]
    """added, changed, deleted"""
    path: bytes
    """absolute"""
    before: int | None
    after: int | None


class _Side(NamedTuple):
    """One of the images: its merged tree, and the trees of the layers that are its own."""

    tree: int
    own: Sequence[int]


def compare(store: Store, before: Image, after: Image) -> list[Change]:
    """Every path that differs in kind, content, mode, owner or attributes; times do not count. Sorted by path."""
    for layer in {*before.layers, *after.layers}:
        layers.hold(store, layer)
    shared = _common(before.layers, after.layers)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(scratch(store.root, "compare"))
        stack.enter_context(private_mounts())
        sides = [
            _side(store, image, shared, f"{place}/{number}", stack) for number, image in enumerate((before, after))
        ]
        return sorted(_walk(*sides), key=lambda change: change.path.split(b"/"))


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many of the lowest layers are the same."""
    pairs = zip(one, other, strict=False)
    return next((number for number, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))


def _side(store: Store, image: Image, shared: int, place: str, stack: contextlib.ExitStack) -> _Side:
    os.mkdir(place)
    names = layers.lower_directories(image)
    if len(names) == 1:
        place = f"{store.root.layers}/{names[0]}"
    elif names:
        os.chdir(store.root.layers)  # only short names fit the one page of options
        mount("overlay", place, "overlay", 0, "lowerdir=" + ":".join(names))
    own = [
        stack.enter_context(opened(open_root(layers.directory(store, layer)))) for layer in image.layers[shared:]
    ]
    return _Side(stack.enter_context(opened(open_root(place))), own)


def _walk(before: _Side, after: _Side) -> Iterator[Change]:
    """Without recursion: directories may be nested deeper than Python calls."""
    waiting = [b""]
    while waiting:
        path = waiting.pop()
        with contextlib.ExitStack() as stack:
            left, right = _enter(before.tree, path, stack), _enter(after.tree, path, stack)
            for name in _touched((*before.own, *after.own), path, left, right):
                one, other = _status(left, name), _status(right, name)
                below = path + b"/" + name
                if any(there is not None and stat.S_ISDIR(there.st_mode) for there in (one, other)):
                    waiting.append(below)
                if change := _judge(below, (left, one), (right, other), name):
                    yield change


def _enter(tree: int, path: bytes, stack: contextlib.ExitStack) -> int | None:
    """A descriptor of a directory, None where there is none."""
    try:
        fd = open_beneath(tree, path.lstrip(b"/") or b".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
    return stack.enter_context(opened(fd))


def _touched(own: Sequence[int], path: bytes, left: int | None, right: int | None) -> set[bytes]:
    """Names in a directory that may differ: all where only one image has it, or a layer hides those below it."""
    names: set[bytes] = set()
    whole = left is None or right is None
    for tree in own:
        with contextlib.ExitStack() as stack:
            fd = _enter(tree, path, stack)
            if fd is not None:
                names.update(map(os.fsencode, os.listdir(fd)))
                whole = whole or marks.is_opaque(inner_path(fd, b"."))
    if whole:
        for side in (left, right):
            names.update(map(os.fsencode, os.listdir(side)) if side is not None else ())
    return names


def _status(directory: int | None, name: bytes) -> os.stat_result | None:
    """What is there, a whiteout of a lowest layer being nothing."""
    if directory is None:
        return None
    try:
        there = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return None if marks.is_whiteout(there) else there


_Found = tuple[int | None, os.stat_result | None]


def _judge(path: bytes, before: _Found, after: _Found, name: bytes) -> Change | None:
    one, other = before[1], after[1]
    if one is None or other is None:
        if one is None and other is None:
            return None
        return Change("A" if one is None else "D", path, _size(one), _size(other))
    if _kind(one) == _kind(other) and _alike(before[0], after[0], name, one):
        return None
    return Change("C", path, _size(one), _size(other))


def _size(there: os.stat_result | None) -> int | None:
    return None if there is None else there.st_size if stat.S_ISREG(there.st_mode) else 0


def _kind(there: os.stat_result) -> tuple[int, ...]:
    regular = stat.S_ISREG(there.st_mode)
    return there.st_mode, there.st_uid, there.st_gid, there.st_rdev, there.st_size if regular else 0


def _alike(left: int | None, right: int | None, name: bytes, there: os.stat_result) -> bool:
    """Whether two entries of the same kind and size are the same."""
    assert left is not None
    assert right is not None
    if stat.S_ISLNK(there.st_mode):
        return os.readlink(name, dir_fd=left) == os.readlink(name, dir_fd=right)
    if marks.attributes(inner_path(left, name)) != marks.attributes(inner_path(right, name)):
        return False
    return not stat.S_ISREG(there.st_mode) or _same_content(left, right, name)


def _same_content(left: int, right: int, name: bytes) -> bool:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    with opened(os.open(name, flags, dir_fd=left)) as one, opened(os.open(name, flags, dir_fd=right)) as other:
        while True:
            data = os.read(one, _CHUNK)
            if data != os.read(other, _CHUNK):
                return False
            if not data:
                return True
