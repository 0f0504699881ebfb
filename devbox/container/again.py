"""How a command of ours is started again later, by conmon or by ourselves."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from devbox.container import cgroups, locks
from devbox.store.root import Root
from devbox.system import process


def command(root: Root, verb: str, container_id: str) -> list[str]:
    """`devbox internal VERB ID` by absolute path: conmon runs it with an empty environment.

    -I keeps it from importing whatever lies in the directory it happens to run in.
    """
    return [
        sys.executable,
        "-I",
        "-m",
        "devbox",
        "internal",
        verb,
        "--root",
        root.state,
        "--run",
        root.run,
        container_id,
    ]


def exit_command(root: Root, container_id: str) -> list[str]:
    """What conmon runs when the container has ended.

    flock(1) ends at once, in a millisecond, when a process that lives has promised to book the exit.
    """
    lock = locks.exit_path(root, container_id)
    flock = [process.find("flock"), "--nonblock", "--close", "--conflict-exit-code", "0", lock]
    return flock + command(root, "exited", container_id)


def detached(root: Root, verb: str, container_id: str) -> int:
    """Start `devbox internal VERB ID` in a session of its own, without our terminal; returns its pid."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        files = ((0, null), (1, null), (2, null))
        pid = process.spawn(command(root, verb, container_id), files=files, new_session=True)
    finally:
        os.close(null)
    cgroups.leave_session(pid)
    return pid
