"""s6-log beside a container: it reads what conmon writes and keeps capped, rotated files.

conmon writes into the FIFO <bundle>/log. s6-log, one for each running container, appends to log/current in the
container's directory and renames a full file to @<time>.s (or .u when it was interrupted). While it lives it holds
a POSIX lock on log/lock, by which it is found. On a full disk it keeps what it reads until it may not have more
memory and then dies; conmon goes on without it, and `revive` brings it back.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import fcntl
import os
import resource
import struct
import time
from collections.abc import Iterator

from devbox.container import cgroups
from devbox.model.container import Container, LogConfig
from devbox.store.root import Root
from devbox.system import process

_MEMORY_MAX = 64 * 1024 * 1024
"""bytes of address space; s6-log itself takes 3 MB"""
_FILE_MIN, _FILE_MAX = 4096, 268435455
"""bytes; s6-log's own bounds for the size of a file"""
_FLOCK = "@hhqqi4x"
_POLL_SECONDS = 0.005


@contextlib.contextmanager
def reading(root: Root, container: Container) -> Iterator[None]:
    """Have a logger before conmon starts; at the end of the block conmon must have opened the FIFO.

    Without conmon the logger ends with the block. Nothing is started for the driver `none`. To be entered outside
    the container's mount namespace, which the logger would keep alive.
    """
    if container.config.log.driver == "none":
        yield
        return
    fifo = root.bundle(container.id) + "/log"
    with contextlib.suppress(FileExistsError):
        os.mkfifo(fifo, 0o600)
    # a writer of our own: conmon need not wait for a reader, and the logger sees no end before conmon has come
    hold = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _spawn(root, container, fifo)
        yield
    finally:
        os.close(hold)


def is_alive(root: Root, container_id: str) -> bool:
    """Whether a container has a logger."""
    return _holder(root, container_id) != 0


def revive(root: Root, container: Container) -> None:
    """Give a running container whose logger has died a new one; cheap when there is nothing to do."""
    fifo = root.bundle(container.id) + "/log"
    if container.config.log.driver == "none" or _holder(root, container.id) or not os.path.exists(fifo):
        return
    try:
        # conmon has the other end; without conmon this says so
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError:
        _spawn(root, container, fifo)


def is_reading(root: Root, container_id: str) -> bool:
    """Whether a logger lives: the container does, or what it wrote last is still being kept."""
    return _holder(root, container_id) != 0


def settled(root: Root, container_id: str, *, timeout: float) -> bool:
    """Wait until the logger of a container that has ended has written everything and left."""
    deadline = time.monotonic() + timeout
    while _holder(root, container_id):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def discard(root: Root, container_id: str) -> None:
    """End the logger of a container that is being removed, which may wait for room on a full disk."""
    import signal

    pid = _holder(root, container_id)
    if not pid:
        return
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if _holder(root, container_id) == pid:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def directory(root: Root, container_id: str) -> str:
    """Where a container's log files are."""
    return root.container(container_id) + "/log"


_children: list[int] = []


def _bury_children() -> None:
    """A process that starts a container again and again has its earlier loggers as children."""
    for pid in list(_children):
        with contextlib.suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
        _children.remove(pid)


def _spawn(root: Root, container: Container, fifo: str) -> None:
    _bury_children()
    source = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        argv = ["s6-log", "-p", "-l", "0", "--", *_script(container.config.log), directory(root, container.id)]
        pid = process.spawn(argv, files=((0, source), (1, null), (2, null)), new_session=True)
        _children.append(pid)
        cgroups.leave_session(pid)
        resource.prlimit(pid, resource.RLIMIT_AS, (_MEMORY_MAX, _MEMORY_MAX))
    finally:
        os.close(source)
        os.close(null)


def _script(log: LogConfig) -> list[str]:
    # s6-log counts the files beside the one it writes to; a size over its bound becomes more files
    wanted = log.max_size if log.max_size > 0 else _FILE_MAX
    size = min(max(wanted, _FILE_MIN), _FILE_MAX)
    archives = -(-wanted * log.max_file // size) - 1 if log.max_size > 0 else 4_000_000_000
    if archives == 0:
        # s6-log would throw a full file away with its last lines: two of half the size keep them
        archives, size = 1, max(size // 2, _FILE_MIN)
    return [f"n{archives}", f"s{size}", f"l{min(2000, size // 2)}"]


def _holder(root: Root, container_id: str) -> int:
    """The pid of the logger, 0 when there is none."""
    try:
        fd = os.open(directory(root, container_id) + "/lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, question))
    finally:
        os.close(fd)
    return 0 if kind == fcntl.F_UNLCK else int(pid)
