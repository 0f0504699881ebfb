"""The two locks of a container.

The operation lock is held while a command changes a container's state. The exit lock is held by whoever has
promised to book the container's exit; without a holder, conmon's exit command starts `devbox internal exited`.
Both die with their process.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import time
from collections.abc import Collection

from devbox.store.root import Root
from devbox.system.locks import locked, try_lock

_KINDS = ("operation", "exit", "restart", "health")
_ID_LENGTH = 64
_STRAY_SECONDS = 600


def operation(root: Root, container_id: str) -> contextlib.AbstractContextManager[int]:
    """Hold the operation lock, waiting for it."""
    return locked(_path(root, container_id, "operation"))


def try_operation(root: Root, container_id: str) -> int | None:
    """The operation lock's descriptor, or None while another command holds it."""
    return try_lock(_path(root, container_id, "operation"))


def exit_path(root: Root, container_id: str) -> str:
    """The file of the exit lock."""
    return _path(root, container_id, "exit")


def try_exit(root: Root, container_id: str) -> int | None:
    """The exit lock's descriptor, or None while another process has promised to book the exit."""
    return try_lock(exit_path(root, container_id))


def try_restart(root: Root, container_id: str) -> int | None:
    """The descriptor of the lock of the one process that brings a container back, or None when there is one."""
    return try_lock(_path(root, container_id, "restart"))


def try_health(root: Root, container_id: str) -> int | None:
    """The descriptor of the lock of the one process that checks a container's health, or None."""
    return try_lock(_path(root, container_id, "health"))


def remove(root: Root, container_id: str) -> None:
    """Delete the lock files of a container that is gone; a waiter gets its lock and then finds no row."""
    for kind in _KINDS:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_path(root, container_id, kind))


def remove_strays(root: Root, known: Collection[str]) -> None:
    """Delete the lock files of a `create` that was killed before its container had a directory or a row."""
    now = time.time()
    for name in os.listdir(root.locks) if os.path.isdir(root.locks) else ():
        container_id, _, kind = name.partition(".")
        if kind not in _KINDS or len(container_id) != _ID_LENGTH or container_id in known:
            continue
        with contextlib.suppress(FileNotFoundError):
            # one that is being made right now has neither yet
            if now - os.stat(f"{root.locks}/{name}").st_mtime > _STRAY_SECONDS:
                _remove_unless_held(f"{root.locks}/{name}")


def _remove_unless_held(path: str) -> None:
    """A step of a build has a lock and no row, for as long as it runs."""
    fd = try_lock(path)
    if fd is not None:
        os.unlink(path)
        os.close(fd)


def _path(root: Root, container_id: str, kind: str) -> str:
    return f"{root.locks}/{container_id}.{kind}"
