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

from devbox.store.root import Root
from devbox.system.locks import locked, try_lock


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
    for kind in ("operation", "exit", "restart", "health"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_path(root, container_id, kind))


def _path(root: Root, container_id: str, kind: str) -> str:
    return f"{root.locks}/{container_id}.{kind}"
