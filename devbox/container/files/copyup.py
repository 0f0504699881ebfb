"""What the image has where a new volume is mounted, copied into it when a container first starts with it."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator

from devbox.errors import StoreError
from devbox.model.container import Container
from devbox.model.mount import Mount
from devbox.model.volume import Volume
from devbox.store.database import Store
from devbox.volume import volumes

_MARK = "filling"
_NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def populate(store: Store, container: Container, rootfs: str) -> None:
    """Make a container's volumes ready: mount those that lie elsewhere, fill those that are new.

    To be called in the private mount namespace where the container's overlay is mounted on `rootfs`. A volume is
    filled when it is empty and the container never ran, as docker does at create; a copy that was cut short is
    done anew, whoever starts next. Raises NotFoundError, HostError, StoreError.
    """
    attach(store, container)
    for mount in container.config.mounts:
        if mount.kind == "volume":
            new = container.started == 0 and not mount.no_copy
            _prepare(volumes.get(store, mount.source), mount, rootfs, new=new)


def attach(store: Store, container: Container) -> None:
    """Mount what the container's volumes with driver options stand for, in this (private) mount namespace."""
    for name in dict.fromkeys(mount.source for mount in container.config.mounts if mount.kind == "volume"):
        volume = volumes.get(store, name)
        if volume.options:
            from devbox.volume import devices

            devices.attach(volume)


def _prepare(volume: Volume, mount: Mount, rootfs: str, *, new: bool) -> None:
    with _locked(volume) as home:
        interrupted = _is_marked(home)
        if interrupted:
            _empty(volume)
            _unmark(home)
        if new and (interrupted or not os.listdir(volume.mountpoint)):
            try:
                _fill(volume, mount, rootfs, home)
            except OSError as error:
                raise StoreError(
                    f"cannot copy the image's {mount.target} into volume {volume.name}: "
                    + os.strerror(error.errno or 0).lower()
                ) from error


def _fill(volume: Volume, mount: Mount, rootfs: str, home: int) -> None:
    from devbox.container.files.streaming import copy_below
    from devbox.system.syscalls import syncfs
    from devbox.system.walk import open_in_root, open_root, opened

    with contextlib.ExitStack() as stack:
        top = stack.enter_context(opened(open_root(rootfs)))
        try:
            source = stack.enter_context(opened(open_in_root(top, mount.target, os.O_RDONLY | os.O_DIRECTORY)))
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return
            raise
        destination = stack.enter_context(opened(open_root(volume.mountpoint)))
        _mark(home)
        copy_below(source, destination)
        syncfs(destination)
        _unmark(home)


@contextlib.contextmanager
def _locked(volume: Volume) -> Iterator[int]:
    """Be the only one who fills the volume; the descriptor of the directory that holds it."""
    try:
        home = os.open(os.path.dirname(volume.mountpoint), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise StoreError(
            f"the files of volume {volume.name} are gone", hint="'devbox check' shows what else is missing"
        ) from None
    try:
        fcntl.flock(home, fcntl.LOCK_EX)
        yield home
    finally:
        os.close(home)


def _is_marked(home: int) -> bool:
    try:
        os.stat(_MARK, dir_fd=home, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _mark(home: int) -> None:
    os.close(os.open(_MARK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=home))
    os.fsync(home)


def _unmark(home: int) -> None:
    os.unlink(_MARK, dir_fd=home)
    os.fsync(home)


def _empty(volume: Volume) -> None:
    """Delete a copy that was cut short; what lies on another device is only written over."""
    from devbox.system.walk import open_root, opened, remove_at

    if volume.options:
        return
    with opened(open_root(volume.mountpoint)) as fd:
        for name in os.listdir(fd):
            remove_at(fd, name)
