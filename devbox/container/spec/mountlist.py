"""The mounts of a container in the runtime spec's terms, their sources checked or created."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from devbox.container import records
from devbox.container.spec.configjson import INIT_TARGET, MountEntry
from devbox.errors import HostError, NotFoundError, RefusedError, StateError
from devbox.model.container import Container, ContainerConfig
from devbox.model.mount import Mount
from devbox.store.database import Store
from devbox.system import procfs
from devbox.system.namespaces import mounts_of, outside
from devbox.system.procfs import kernel, mount_of
from devbox.system.syscalls import (
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    move_mount,
    open_tree,
    open_tree_of,
    openat2,
)
from devbox.system.walk import opened
from devbox.volume import volumes

_NETWORK_FILES = ("hosts", "hostname", "resolv.conf")
_INITS = ("/usr/bin/tini-static", "/usr/libexec/docker/docker-init", "/usr/bin/docker-init", "/usr/bin/tini")
_ELF_INTERPRETER = 3
_AT_FDCWD = -100
_RECURSIVE_READ_ONLY = (5, 12)
"""the kernel that got mount_setattr(2)"""


def resolve(store: Store, container: Container) -> tuple[MountEntry, ...]:
    """All mounts but the runtime's own ones, in the order in which they are made.

    Raises NotFoundError for a source that does not exist; one of `-v` is created, as docker does.
    """
    config = container.config
    mounts = [_entry(store, container, mount) for mount in config.mounts]
    taken = {mount.target for mount in mounts}
    usual = [*_network_files(store, container), *_shared_memory(store, container)]
    mounts += [mount for mount in usual if mount.target not in taken]
    if config.init and not config.pid_mode:
        mounts.append(MountEntry(init_program(), INIT_TARGET, "bind", ("rbind", "ro", "rprivate")))
    return tuple(sorted(mounts, key=lambda mount: mount.target.count("/")))


def _entry(store: Store, container: Container, mount: Mount) -> MountEntry:
    if mount.kind == "tmpfs":
        access = "ro" if mount.read_only else "rw"
        return MountEntry("tmpfs", mount.target, "tmpfs", (*_tmpfs_options(mount), access))
    if mount.kind == "volume":
        source = volumes.path(store, mount.source)
    else:
        _check_source(mount)
        source = _peer(store, container, mount) if mount.propagation in ("shared", "rshared") else mount.source
    bind = "rbind" if mount.recursive else "bind"
    return MountEntry(
        source, mount.target, "bind", (bind, _access(mount, source), mount.propagation or "rprivate")
    )


def _access(mount: Mount, source: str) -> str:
    """Read-only means what is mounted below the source, too, as docker has it where the kernel can."""
    if not mount.read_only:
        return "rw"
    # crun 1.8 knows rro for directories only
    recursive = mount.recursive and kernel() >= _RECURSIVE_READ_ONLY and os.path.isdir(source)
    return "rro" if recursive else "ro"


def _peer(store: Store, container: Container, mount: Mount) -> str:
    """Bring the host's own mount, and no slave of it, into the private namespace that we are in.

    What the container mounts below it is seen by the host then, which is what the user wants.
    """
    with outside():
        if not mount_of(mount.source).shared:
            raise StateError(
                f"{mount.source} is not on a shared mount",
                hint=f"mount --bind {mount.source} {mount.source}; mount --make-shared {mount.source}",
            )
        tree = open_tree(mount.source, recursive=mount.recursive)
    place = f"{store.root.bundle(container.id)}/shared{mount.target.replace('/', '-')}"
    with opened(tree):
        if os.path.isdir(mount.source):
            os.makedirs(place, mode=0o700, exist_ok=True)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        move_mount(tree, place)
    return place


def _check_source(mount: Mount) -> None:
    if os.path.exists(mount.source):
        return
    if not mount.create_source or os.path.lexists(mount.source):
        raise NotFoundError(f"bind source path does not exist: {mount.source}")
    try:
        os.makedirs(mount.source, mode=0o755, exist_ok=True)
    except OSError as error:
        raise NotFoundError(
            f"cannot create {mount.source} for -v: {os.strerror(error.errno or 0).lower()}"
        ) from error


def _tmpfs_options(mount: Mount) -> tuple[str, ...]:
    options = ["nosuid", "nodev", "noexec"]
    for option in mount.tmpfs_options:
        opposite = option[2:] if option.startswith("no") else "no" + option
        options = [kept for kept in options if kept not in (option, opposite)] + [option]
    if mount.tmpfs_size:
        options.append(f"size={mount.tmpfs_size}")
    if mount.tmpfs_mode is not None:
        options.append(f"mode={mount.tmpfs_mode:o}")
    return tuple(options)


def _network_files(store: Store, container: Container) -> list[MountEntry]:
    """hosts, hostname and resolv.conf; those of another container whose network is joined."""
    kind, _, other = container.config.network_mode.partition(":")
    directory = store.root.container(other if kind == "container" else container.id)
    access = "ro" if container.config.read_only else "rw"
    return [
        MountEntry(f"{directory}/{name}", f"/etc/{name}", "bind", ("rbind", access, "rprivate"))
        for name in _NETWORK_FILES
    ]


def _shared_memory(store: Store, container: Container) -> list[MountEntry]:
    """/dev/shm of the host or of another container, where their IPC namespace is joined."""
    kind, _, other = container.config.ipc_mode.partition(":")
    if kind == "host":
        places = {path: path for path in ("/dev/shm", "/dev/mqueue") if os.path.isdir(path)}
    elif kind == "container":
        places = {"/dev/shm": _borrow_shared_memory(store, container, records.by_id(store, other))}
    else:
        return []
    return [MountEntry(source, path, "bind", ("rbind", "rw", "rprivate")) for path, source in places.items()]


def _borrow_shared_memory(store: Store, container: Container, owner: Container) -> str:
    """Mount another container's /dev/shm in the bundle, in the private mount namespace that we are in."""
    if not procfs.alive(owner.pid, owner.pid_start):
        raise StateError(
            f"cannot join the IPC namespace of container {owner.name}: it does not run",
            hint=f"start it with 'devbox start {owner.name}'",
        )
    place = store.root.bundle(container.id) + "/shm"
    os.makedirs(place, mode=0o700, exist_ok=True)
    with mounts_of(owner.pid):
        tree = _shared_memory_of_here(owner)
    with opened(tree):
        move_mount(tree, place)
    return place


def _shared_memory_of_here(owner: Container) -> int:
    """A detached copy of /dev/shm, which must be no link: in its container anybody could have put one there."""
    links = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
    try:
        with opened(openat2(_AT_FDCWD, "/dev/shm", os.O_PATH | os.O_DIRECTORY, links)) as directory:
            return open_tree_of(directory)
    except OSError as error:
        raise RefusedError(
            f"cannot share /dev/shm of container {owner.name}: {os.strerror(error.errno or 0).lower()}"
        ) from error


def check_init(config: ContainerConfig) -> None:
    """Raise HostError when an init is wanted and this host has none that runs in any image."""
    if config.init:
        init_program()


def init_program() -> str:
    """The host's path of a statically linked init."""
    for path in _INITS:
        if _is_static(path):
            return path
    raise HostError("there is no statically linked tini for --init", hint="apt-get install tini")


def _is_static(path: str) -> bool:
    """Whether a program is a 64-bit little-endian ELF file that asks for no interpreter."""
    try:
        with open(path, "rb") as file:
            header = file.read(64)
            if header[:6] != b"\x7fELF\x02\x01":
                return False
            offset, size = int.from_bytes(header[32:40], "little"), int.from_bytes(header[54:56], "little")
            count = int.from_bytes(header[56:58], "little")
            file.seek(offset)
            table = file.read(size * count)
    except OSError:
        return False
    kinds = (int.from_bytes(table[at : at + 4], "little") for at in range(0, len(table), size or 1))
    return _ELF_INTERPRETER not in kinds
