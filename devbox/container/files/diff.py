"""What a container changed in its file system: its overlay's upper directory beside the layers below."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Literal, NamedTuple

from devbox.image import catalog, layers
from devbox.image.tar import marks
from devbox.model.container import Container
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system.namespaces import private_mounts
from devbox.system.syscalls import mount
from devbox.system.walk import inner_path, open_beneath, open_root, opened

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_READ = os.O_RDONLY | os.O_DIRECTORY
MOUNT_POINTS = frozenset(
    os.fsencode(path)
    for path in (
        "dev",
        "dev/pts",
        "dev/shm",
        "dev/mqueue",
        "dev/console",
        "proc",
        "sys",
        "etc",
        "etc/hosts",
        "etc/hostname",
        "etc/resolv.conf",
    )
)
"""made by devbox for every container; docker keeps them in a layer that it does not show"""


class Change(NamedTuple):
    """One line of `diff`: added, changed or deleted."""

    kind: Literal["A", "C", "D"]
    path: bytes
    """relative to the root directory"""


class Comparison(NamedTuple):
    """An upper directory beside what is below it."""

    changes: list[Change]
    """by path"""
    surplus: list[bytes]
    """what is in the upper directory although nothing changed, in an order in which it can be deleted"""


def changes(store: Store, container: Container) -> list[Change]:
    """What a container changed, whether it runs or not."""
    upper = store.root.container(container.id) + "/diff"
    with lower_tree(store, container.image_id) as below, opened(open_root(upper)) as above:
        return compare(above, below).changes


@contextlib.contextmanager
def lower_tree(store: Store, image_id: str) -> Iterator[int]:
    """A descriptor of an image's files; the block may run in a private mount namespace."""
    names = layers.lower_directories(catalog.by_id(store, image_id))
    with scratch(store.root, "lower") as place, contextlib.ExitStack() as stack:
        if len(names) == 1:
            place = f"{store.root.layers}/{names[0]}"
        elif names:
            stack.enter_context(private_mounts())
            os.chdir(store.root.layers)  # only short names fit the one page of options
            mount("overlay", place, "overlay", 0, "lowerdir=" + ":".join(names))
        yield stack.enter_context(opened(open_root(place)))


def compare(upper: int, lower: int) -> Comparison:
    """Compare an upper directory with the merged tree below it."""
    found = Comparison([], [])
    _compare(upper, lower, b"", found)
    found.changes.sort(key=lambda change: change.path.split(b"/"))
    return found


class _Node(NamedTuple):
    path: bytes
    there: os.stat_result
    before: os.stat_result | None
    """what the layers below have"""


def _compare(upper: int, lower: int, top: bytes, found: Comparison) -> None:
    """Walk without recursion: a container may nest its directories deeper than Python calls."""
    directories: list[_Node] = []
    waiting = [top]
    while waiting:
        path = waiting.pop()
        for node in _nodes(upper, lower, path):
            if stat.S_ISDIR(node.there.st_mode):
                directories.append(node)
                waiting.append(node.path)
                found.changes.extend(_hidden(upper, lower, node))
            else:
                _judge_file(node, found)
    # parents come before their children in the list, so backwards a directory's own turn is last
    touched = {change.path.rpartition(b"/")[0] for change in found.changes}
    excused = {path.rpartition(b"/")[0] for path in found.surplus}
    for node in reversed(directories):
        parent = node.path.rpartition(b"/")[0]
        change = _judge_directory(node, touched=node.path in touched, excused=node.path in excused)
        if change is None:
            found.surplus.append(node.path)
            excused.add(parent)
        else:
            found.changes.append(change)
            touched.add(parent)


def _judge_file(node: _Node, found: Comparison) -> None:
    if marks.is_whiteout(node.there):
        if node.before is not None:
            found.changes.append(Change("D", node.path))
    elif node.before is not None:
        found.changes.append(Change("C", node.path))
    elif node.path in MOUNT_POINTS and stat.S_ISREG(node.there.st_mode) and not node.there.st_size:
        found.surplus.append(node.path)
    else:
        found.changes.append(Change("A", node.path))


def _judge_directory(node: _Node, *, touched: bool, excused: bool) -> Change | None:
    """`touched`: something in it changed; `excused`: its time may differ because of mount points made in it."""
    if node.before is None:
        return None if node.path in MOUNT_POINTS and not touched else Change("A", node.path)
    if touched or not stat.S_ISDIR(node.before.st_mode) or _attributes(node.there) != _attributes(node.before):
        return Change("C", node.path)
    same_time = node.there.st_mtime_ns == node.before.st_mtime_ns
    return None if same_time or excused else Change("C", node.path)


def _attributes(there: os.stat_result) -> tuple[int, int, int]:
    return there.st_mode, there.st_uid, there.st_gid


def _nodes(upper: int, lower: int, path: bytes) -> Iterator[_Node]:
    with contextlib.ExitStack() as stack:
        above = _open(upper, path)
        if above is None:
            return
        stack.enter_context(opened(above))
        below = _open(lower, path)
        if below is not None:
            stack.enter_context(opened(below))
        for name in os.listdir(above):
            raw = os.fsencode(name)
            there = _status(above, raw)
            if there is not None:
                yield _Node(path + b"/" + raw if path else raw, there, _before(below, raw))


def _hidden(upper: int, lower: int, node: _Node) -> list[Change]:
    """What an opaque directory hides of the one below and does not have itself."""
    if node.before is None or not stat.S_ISDIR(node.before.st_mode):
        return []
    above, below = _open(upper, node.path), _open(lower, node.path)
    with contextlib.ExitStack() as stack:
        for fd in (above, below):
            if fd is not None:
                stack.enter_context(opened(fd))
        if above is None or below is None or not marks.is_opaque(inner_path(above, b".")):
            return []
        missing = set(os.listdir(below)) - set(os.listdir(above))
        return [Change("D", node.path + b"/" + os.fsencode(name)) for name in missing]


def _open(root: int, path: bytes) -> int | None:
    try:
        return open_beneath(root, path or b".", _READ)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise


def _before(below: int | None, name: bytes) -> os.stat_result | None:
    there = None if below is None else _status(below, name)
    return None if there is None or marks.is_whiteout(there) else there


def _status(directory: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
