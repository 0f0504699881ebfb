"""A container's root file system: the image's layers below, its own changes on top."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from devbox.errors import StoreError
from devbox.image import catalog, layers
from devbox.model.container import Container
from devbox.store.database import Store
from devbox.system.syscalls import mount


def mount_rootfs(store: Store, container: Container) -> str:
    """Mount the container's overlay on <bundle>/rootfs in the current (private) mount namespace.

    Returns the mount point. Leaves the working directory in the layers directory: overlayfs options are cut at
    one page, so 125 layers fit only by short names relative to it.
    """
    target = store.root.bundle(container.id) + "/rootfs"
    os.makedirs(target, mode=0o700, exist_ok=True)
    mount_overlay(store, container, target)
    return target


def mount_overlay(store: Store, container: Container, target: str) -> None:
    """Mount the container's overlay on `target` in the current (private) mount namespace."""
    lower = layers.lower_directories(catalog.by_id(store, container.image_id)) or (_empty_layer(store),)
    os.chdir(store.root.layers)
    own = os.path.relpath(store.root.container(container.id))
    # xattrs trusted.overlay.redirect would name paths of another layer; metacopy would leave files without data
    options = f"lowerdir={':'.join(lower)},upperdir={own}/diff,workdir={own}/work,redirect_dir=off,metacopy=off"
    try:
        mount("overlay", target, "overlay", 0, options)
    except OSError as error:
        raise StoreError(
            f"cannot mount the file system of container {container.name}: {os.strerror(error.errno or 0).lower()}",
            hint="run 'devbox check'; the kernel needs overlayfs and an upper file system that supports it",
        ) from error


def _empty_layer(store: Store) -> str:
    path = store.root.layers + "/empty"
    os.makedirs(path, mode=0o755, exist_ok=True)
    return "empty"
