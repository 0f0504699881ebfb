"""A container that is made and started at once: it is there as a whole, or the next command takes it away."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import sqlite3
from collections.abc import Iterator

from devbox.container import exits, life, locks, records
from devbox.errors import DevboxError, NotFoundError
from devbox.store import scratch
from devbox.store.database import Store
from devbox.system import procfs
from devbox.system.files import remove_tree, sync_directory
from devbox.volume import volumes

_PURPOSE = "making"


@contextlib.contextmanager
def whole(store: Store, container_id: str, *, durable: bool) -> Iterator[None]:
    """Make the container in the block, and start it unless it is `durable` as it is; what ends that takes it away.

    Where that fails too, or this process dies, the mark that it leaves lets the next command do it.
    """
    mark, lock = scratch.claim(store.root, f"{_PURPOSE}.{container_id}.{procfs.boot_id()}")
    try:
        yield
    except BaseException:
        with contextlib.suppress(DevboxError, OSError, sqlite3.Error):  # what kept it from starting matters more
            _discard(store, container_id)
            os.rmdir(mark)
        raise
    else:
        with contextlib.suppress(OSError):  # of one that has been started it says nothing
            os.rmdir(mark)
        if durable:
            sync_directory(store.root.scratch)  # else the mark might come back, with a disk that was unplugged
    finally:
        os.close(lock)


def _discard(store: Store, container_id: str) -> None:
    try:
        records.by_id(store, container_id)
    except NotFoundError:
        # what was made before a row was to say so
        remove_tree(store.root.container(container_id))
        volumes.remove_orphans(store)
        locks.remove(store.root, container_id)
        return
    life.remove(store, container_id, force=True, volumes_too=True)


def take_back(store: Store, name: str) -> bool:
    """Discard the container that half-done work of this name tells of, if any, unless it was started.

    False when another command is just busy with it. A mark of before a reboot may be of one that is whole: that it
    was deleted need not have reached the disk.
    """
    purpose, container_id, boot_id, *_ = [*name.split("."), "", ""]
    if purpose != _PURPOSE or boot_id != procfs.boot_id():
        return True
    lock = locks.try_operation(store.root, container_id)
    if lock is None:
        return False
    try:
        container = records.by_id(store, container_id)
        if container.status == "created" and not container.started:
            exits.abandon(store, container)
            exits.erase(store, container, volumes_too=True)
    except NotFoundError:
        locks.remove(store.root, container_id)
    finally:
        os.close(lock)
    return True
