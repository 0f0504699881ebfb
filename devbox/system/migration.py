"""Moving a process into a control group without the wait that the kernel has for the first such move.

A write to `cgroup.procs` waits for an RCU grace period (5 to 20 ms) unless another one came less than about 15 ms
before (kernel/rcu/sync.c, kernel/cgroup/cgroup.c). A child of ours takes that wait while we prepare a container.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import time
from collections.abc import Iterator

_SECONDS = 0.2
_INTERVAL = 0.005
_GROUPS = "/sys/fs/cgroup"
_child = 0


def hasten() -> None:
    """Make moves quick for the next 0.2 s, or until `over`; where that does not work they take their time."""
    global _child
    parent = os.getpid()
    _child = os.fork()
    if not _child:
        try:
            _stay_where_we_are(parent)
        finally:
            os._exit(0)


def over() -> None:
    """End what `hasten` began."""
    global _child
    if _child:
        child, _child = _child, 0
        os.kill(child, 9)
        os.waitpid(child, 0)


def _stay_where_we_are(parent: int) -> None:
    """Move this process to the control group that it is in, again and again."""
    files = [fd for path in _own_groups() if (fd := _opened(path + "/cgroup.procs")) >= 0]
    if not files:
        return
    procs = os.dup2(files[0], 0)
    os.closerange(1, os.sysconf("SC_OPEN_MAX"))  # a reader of our output waits until everybody has closed it
    deadline = time.monotonic() + _SECONDS
    with contextlib.suppress(OSError):
        while os.getppid() == parent and time.monotonic() < deadline:
            os.write(procs, b"0")
            time.sleep(_INTERVAL)


def _own_groups() -> Iterator[str]:
    """Directories of our own control groups: of version 2 first, where it is mounted."""
    with open("/proc/self/cgroup") as file:
        lines = sorted(line.rstrip("\n").split(":", 2) for line in file)
    for _, controllers, path in lines:
        names = (controllers.removeprefix("name="),) if controllers else ("", "unified")
        yield from (f"{_GROUPS}/{name}{path}" for name in names)


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return -1
