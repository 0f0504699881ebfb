"""Private mount and network namespaces: what is in one is not seen by the host and vanishes with its last user."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
from collections.abc import Iterator

from devbox.system.procfs import mount_points
from devbox.system.syscalls import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    MNT_DETACH,
    MS_BIND,
    MS_REC,
    MS_SLAVE,
    mount,
    setns,
    umount,
    unshare,
)

_HYBRID_CONTROLLERS = "/sys/fs/cgroup/unified/cgroup.controllers"
_left: list[int] = []
"""descriptors of the namespaces that `private_mounts` will return to"""


@contextlib.contextmanager
def private_mounts() -> Iterator[None]:
    """Run the block in a mount namespace of its own, then return to the caller's, working directory included.

    Mounts of the host still arrive in it (slave), none of its own leave it. Programs started in the block stay
    there and keep it alive. A thread that was in one has a working directory and umask of its own from then on.
    """
    with _returning() as home:
        unshare(CLONE_NEWNS)
        mount("", "/", "", MS_REC | MS_SLAVE)
        _show_crun_one_cgroup_version()
        _left.append(home)
        try:
            yield
        finally:
            _left.pop()


@contextlib.contextmanager
def outside() -> Iterator[None]:
    """Run the block in the mount namespace that the innermost `private_mounts` has left."""
    with _returning():
        setns(_left[-1], CLONE_NEWNS)
        yield


@contextlib.contextmanager
def mounts_of(pid: int) -> Iterator[None]:
    """Run the block in the mount namespace of another process, then return."""
    theirs = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with _returning():
            setns(theirs, CLONE_NEWNS)
            yield
    finally:
        os.close(theirs)


@contextlib.contextmanager
def network_of(netns: int | None) -> Iterator[None]:
    """Run the block in a network namespace (None: a new one), then return; other threads stay outside."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if netns is None:
            unshare(CLONE_NEWNET)
        else:
            setns(netns, CLONE_NEWNET)
        yield
    finally:
        setns(home, CLONE_NEWNET)
        os.close(home)


def unmount_below(path: str) -> None:
    """Take every mount below a directory out of this namespace; what uses one keeps it."""
    for point in reversed(mount_points()):
        if point.path.startswith(path + "/"):
            umount(point.path, MNT_DETACH)


@contextlib.contextmanager
def _returning() -> Iterator[int]:
    """Come back to the mount namespace and working directory of now, whatever the block did."""
    home = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield home
    finally:
        setns(home, CLONE_NEWNS)
        os.fchdir(directory)
        os.close(directory)
        os.close(home)


def _show_crun_one_cgroup_version() -> None:
    # crun refuses hybrid cgroups when the v2 side has a controller; with an empty list it takes the v1 side
    if os.path.exists(_HYBRID_CONTROLLERS) and not os.path.samefile(_HYBRID_CONTROLLERS, "/dev/null"):
        mount("/dev/null", _HYBRID_CONTROLLERS, "", MS_BIND)
