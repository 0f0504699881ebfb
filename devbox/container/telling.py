"""Events beyond those of a container's row."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import sqlite3
from collections.abc import Sequence
from typing import Literal

from devbox.container import records
from devbox.model.container import Container
from devbox.store.database import Store

_WORDS_MAX = 4096


def tell(store: Store, container: Container, *actions: str, **attributes: str) -> None:
    """Record what was done to a container, where the state file can be written; it waits for no disk."""
    try:
        with store.transaction(durable=False):
            for action in actions:
                records.announce(store, container, action, **attributes)
    except sqlite3.Error:
        return  # nothing depends on it: `exec` and `attach` work on a full disk, and on one that became read-only


def volumes(store: Store, container: Container, action: Literal["mount", "unmount"]) -> None:
    """Record that the volumes of a container are in use, or no longer; [tx]."""
    for mount in container.config.mounts:
        if mount.kind == "volume":
            attributes = {"container": container.id, "driver": "local"}
            if action == "mount":
                access = str(not mount.read_only).lower()
                attributes |= {"destination": mount.target, "propagation": "", "read/write": access}
            store.event("volume", action, mount.source, attributes)


class Execution:
    """The events of one `exec`, as docker has them."""

    def __init__(self, store: Store, container: Container, command: Sequence[str]) -> None:
        self._store = store
        self._container = container
        self._words = " ".join(command)[:_WORDS_MAX]
        self._id = os.urandom(32).hex()

    def started(self) -> None:
        """The process runs."""
        actions = (f"exec_create: {self._words}", f"exec_start: {self._words}")
        tell(self._store, self._container, *actions, execID=self._id)

    def left(self) -> None:
        """The user has detached from it."""
        tell(self._store, self._container, "exec_detach", execID=self._id)

    def ended(self, code: int) -> None:
        """The process has ended."""
        tell(self._store, self._container, "exec_die", execID=self._id, exitCode=str(code))
