"""Options about files: mounts, volumes of images and other containers, devices."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from devbox.container import records
from devbox.container.spec import devices as host_devices
from devbox.errors import NotFoundError, UsageError
from devbox.model.confinement_parse import parse_device
from devbox.model.container import ContainerConfig, Device
from devbox.model.image import ImageConfig
from devbox.model.invocation import Invocation
from devbox.model.mount import Mount
from devbox.model.mount_parse import check_targets, clean_target, parse_mount, parse_tmpfs, parse_volume
from devbox.model.values_parse import parse_size
from devbox.store.database import Store


def mounts(store: Store, invocation: Invocation, image: ImageConfig, cwd: str) -> tuple[Mount, ...]:
    """All mounts: the user's own before those of other containers, before the image's volumes."""
    own = [
        *(parse_volume(text, cwd) for text in invocation.many("volume")),
        *(parse_mount(text, cwd) for text in invocation.many("mount")),
        *(parse_tmpfs(text) for text in invocation.many("tmpfs")),
    ]
    check_targets(own)
    for mount in own:
        _check_source(mount)
    borrowed: dict[str, Mount] = {}
    for text in invocation.many("volumes_from"):
        borrowed.update((mount.target, mount) for mount in _volumes_from(store, text))
    of_image = [Mount("volume", clean_target(path, f"VOLUME {path}"), anonymous=True) for path in image.volumes]
    merged = {mount.target: mount for mount in (*of_image, *borrowed.values(), *own)}
    return tuple(merged.values())


def _check_source(mount: Mount) -> None:
    if mount.kind == "bind" and not mount.create_source and not os.path.exists(mount.source):
        raise NotFoundError(
            f"bind source path does not exist: {mount.source}", hint="create it, or use -v, which does"
        )


def _volumes_from(store: Store, text: str) -> list[Mount]:
    """The volumes and bind mounts of another container; read-only ones stay so."""
    name, _, mode = text.partition(":")
    if not name or mode not in ("", "ro", "rw", "z", "Z", "ro,z", "ro,Z"):
        raise UsageError(f"invalid --volumes-from {text!r}", hint="write it as CONTAINER or CONTAINER:ro")
    source = records.get(store, name).config
    read_only = mode.startswith("ro")
    return [
        mount._replace(read_only=mount.read_only or read_only, create_source=False, no_copy=True)
        for mount in source.mounts
        if mount.kind != "tmpfs"
    ]


def devices(invocation: Invocation) -> tuple[Device, ...]:
    """Values of --device, each of which exists."""
    wanted = tuple(parse_device(text) for text in invocation.many("device"))
    for device in wanted:
        host_devices.find(device)
    return wanted


def shm_size(invocation: Invocation) -> int:
    """Bytes of /dev/shm; docker's default for none and 0."""
    text = invocation.text("shm_size")
    return (parse_size(text, "--shm-size") if text else 0) or ContainerConfig().shm_size
