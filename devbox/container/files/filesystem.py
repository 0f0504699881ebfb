"""The files of a container from outside: its root file system and what it mounts, whether it runs or not.

They are put together in a private mount namespace of this process. Of a running container only its root mount is
taken: neither its /proc and /sys nor anything it mounts itself, as with docker.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
from collections.abc import Iterator

from devbox.container import locks, records
from devbox.container.files import copyup
from devbox.container.files.mounting import mount_rootfs
from devbox.container.running import is_running
from devbox.errors import StateError
from devbox.model.container import Container
from devbox.model.mount import Mount
from devbox.store.database import Store
from devbox.system import procfs
from devbox.system.namespaces import mounts_of, private_mounts
from devbox.system.syscalls import MS_BIND, MS_RDONLY, MS_REC, MS_REMOUNT, mount, move_mount, open_tree
from devbox.system.walk import inner_path, make_directories, open_in_root, open_root, opened
from devbox.volume import volumes

_OWN_FILES = ("hosts", "hostname", "resolv.conf")


@contextlib.contextmanager
def entered(store: Store, container_id: str, *, with_mounts: bool) -> Iterator[int]:
    """A descriptor of a container's root directory; `with_mounts`: its volumes and bind mounts are in place.

    A container that does not run cannot be started or removed during the block. Host paths should be opened
    before the block, which has a mount namespace and a working directory of its own.
    """
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(contextlib.ExitStack())
        lock.enter_context(locks.operation(store.root, container_id))
        container = records.by_id(store, container_id)
        running = is_running(container)
        if not running:
            stack.callback(_remove_mount_point, store, container)
        stack.enter_context(private_mounts())
        rootfs = _attach_running(store, container) if running else mount_rootfs(store, container)
        if with_mounts:
            if running:
                copyup.attach(store, container)
            else:
                copyup.populate(store, container, rootfs)
        if running:
            lock.close()
        root = stack.enter_context(opened(open_root(rootfs)))
        if with_mounts:
            _place_mounts(store, container, root)
        if container.config.read_only:
            mount("", rootfs, "", MS_REMOUNT | MS_BIND | MS_RDONLY)
        yield root


def _attach_running(store: Store, container: Container) -> str:
    """Mount the running container's root file system here too, without what is mounted below it."""
    with mounts_of(container.pid):
        tree = open_tree("/", recursive=False)
    target = store.root.bundle(container.id) + "/rootfs"
    with opened(tree):
        # looked at only now: the number may have become another process's
        if not procfs.alive(container.pid, container.pid_start):
            raise StateError(f"container {container.name} has just ended", hint="try again")
        move_mount(tree, target)
    return target


def _remove_mount_point(store: Store, container: Container) -> None:
    bundle = store.root.bundle(container.id)
    with contextlib.suppress(OSError):  # one in use or gone is not ours
        os.rmdir(bundle + "/rootfs")
        os.rmdir(bundle)


def _place_mounts(store: Store, container: Container, root: int) -> None:
    for name in _OWN_FILES:
        _place_own_file(root, store.root.container(container.id), name)
    for wish in sorted(container.config.mounts, key=lambda wish: wish.target.count("/")):
        source = volumes.path(store, wish.source) if wish.kind == "volume" else wish.source
        if wish.kind != "tmpfs" and os.path.exists(source):
            _place(root, wish, source)


def _place_own_file(root: int, home: str, name: str) -> None:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if os.path.getsize(f"{home}/{name}"):
            with opened(open_in_root(root, f"/etc/{name}", os.O_PATH)) as target:
                mount(f"{home}/{name}", _path(target), "", MS_BIND)


def _place(root: int, wish: Mount, source: str) -> None:
    with opened(_mount_point(root, wish.target, directory=os.path.isdir(source))) as target:
        mount(source, _path(target), "", MS_BIND | (MS_REC if wish.recursive else 0))
    if wish.read_only:
        with opened(open_in_root(root, wish.target, os.O_PATH)) as target:
            mount("", _path(target), "", MS_REMOUNT | MS_BIND | MS_RDONLY)


def _mount_point(root: int, path: str, *, directory: bool) -> int:
    if directory:
        return make_directories(root, path)
    with contextlib.suppress(FileNotFoundError):
        return open_in_root(root, path, os.O_PATH)
    parent, name = os.path.split(path)
    with opened(make_directories(root, parent)) as fd:
        return os.open(name, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=fd)


def _path(fd: int) -> str:
    return os.fsdecode(inner_path(fd))
