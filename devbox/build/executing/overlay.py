"""File systems of build steps: the layers so far below, a scratch directory on top that becomes the next layer."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence

from devbox.errors import StoreError
from devbox.store.database import Store
from devbox.system.namespaces import private_mounts
from devbox.system.syscalls import MS_RDONLY, mount, move_mount, open_tree_of


@contextlib.contextmanager
def writable(store: Store, layers: Sequence[int], place: str) -> Iterator[str]:
    """Mount the layers, lowest first, with `place`/layer/diff above them, for the block; yields the mount point.

    The block runs in a private mount namespace, in which nothing is mounted by name on the host. What it writes
    is in `place`/layer/diff afterwards, not yet synced.
    """
    for name in ("layer", "work", "merged", "empty"):
        os.mkdir(f"{place}/{name}", 0o700)
    _make_upper(store, layers, place + "/layer/diff")
    with private_mounts():
        own = os.path.relpath(place, store.root.layers)
        # volatile: neither fsync in it nor its unmounting waits for the disk; the build syncs once, at its end
        upper = f"upperdir={own}/layer/diff,workdir={own}/work,volatile"
        _mount(store, layers, place + "/merged", upper, place + "/empty")
        yield place + "/merged"


def mount_layers(store: Store, layers: Sequence[int], place: str) -> str:
    """Show layers read-only in the private mount namespace that we are in; `place` is an empty directory."""
    distinct = tuple(dict.fromkeys(layers))
    if len(distinct) == 1:
        return f"{store.root.layers}/{distinct[0]}/diff"
    os.mkdir(place + "/empty", 0o755)
    if not distinct:
        return place + "/empty"
    os.mkdir(place + "/merged", 0o700)
    _mount(store, layers, place + "/merged", "", place + "/empty")
    return place + "/merged"


def pin(directory: int, place: str) -> str:
    """Mount what a descriptor shows at `place`, so that its path cannot be led astray any more."""
    if stat.S_ISDIR(os.fstat(directory).st_mode):
        os.mkdir(place, 0o700)
    else:
        os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    tree = open_tree_of(directory)
    try:
        move_mount(tree, place)
    finally:
        os.close(tree)
    return place


def _make_upper(store: Store, layers: Sequence[int], path: str) -> None:
    """An empty directory that looks as the top directory of the layers does."""
    os.mkdir(path, 0o755)
    os.chmod(path, 0o755)
    if layers:
        there = os.stat(f"{store.root.layers}/{layers[-1]}/diff")
        os.chown(path, there.st_uid, there.st_gid)
        os.chmod(path, stat.S_IMODE(there.st_mode))


def _mount(store: Store, layers: Sequence[int], target: str, upper: str, empty: str) -> None:
    os.chdir(store.root.layers)  # only short names fit the one page of options
    lower = [f"{layer}/diff" for layer in dict.fromkeys(reversed(layers))]
    lower = lower or [os.path.relpath(empty)]
    options = ",".join(filter(None, (f"lowerdir={':'.join(lower)}", upper, "redirect_dir=off,metacopy=off")))
    try:
        mount("overlay", target, "overlay", 0 if upper else MS_RDONLY, options)
    except OSError as error:
        raise StoreError(
            f"cannot mount the file system of a build step: {os.strerror(error.errno or 0).lower()}",
            hint="run 'devbox check'; the kernel needs overlayfs and an upper file system that supports it",
        ) from error
