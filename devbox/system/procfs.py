"""Who is alive, told by /proc: a pid alone may be reused or be an orphan that nobody has reaped yet."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import functools
import os
from typing import NamedTuple


@functools.cache
def boot_id() -> str:
    """A value that changes with every boot of this kernel."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when there is none, or only its remains."""
    fields = _status(pid)
    return 0 if not fields or fields[0] in (b"Z", b"X") else int(fields[19])


def _status(pid: int) -> list[bytes]:
    """/proc/PID/stat from its third field on; empty when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def alive(pid: int, started: int) -> bool:
    """Whether the process that had this pid and start time still runs."""
    return pid > 0 and started > 0 and start_time(pid) == started


def send_signal(pid: int, started: int, number: int) -> bool:
    """Signal a process if it is still the one that is meant; False when it is gone."""
    import signal

    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not alive(pid, started):
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def kernel() -> tuple[int, int]:
    """The running kernel's version."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(digit for digit in minor if digit.isdigit()) or 0)


class MountPoint(NamedTuple):
    """Where something is mounted."""

    path: str
    kind: str
    """the file system's type"""
    shared: bool
    """it propagates to peers (mount_namespaces(7))"""


def mount_points() -> list[MountPoint]:
    """All of this thread's mount namespace, a later one covering earlier ones on the same path."""
    with open("/proc/thread-self/mountinfo", "rb") as file:
        return [_mount_point(line.split(b" ")) for line in file]


def _mount_point(fields: list[bytes]) -> MountPoint:
    dash = fields.index(b"-")
    # blanks and the like are written as octal numbers there
    path = fields[4].decode("unicode_escape").encode("latin-1")
    shared = any(field.startswith(b"shared:") for field in fields[6:dash])
    return MountPoint(os.fsdecode(path), fields[dash + 1].decode(), shared)


def mount_of(path: str) -> MountPoint:
    """The mount that a path lies on."""
    wanted = os.path.realpath(path)
    around = [point for point in mount_points() if os.path.commonpath((point.path, wanted)) == point.path]
    return max(reversed(around), key=lambda point: len(point.path))


def descendants(pid: int) -> list[int]:
    """A process, its descendants, and the others of its session, unless that is ours too."""
    relations = _relations()
    sessions = {session for other, _, session in relations if other == pid} - {os.getsid(0)}
    found = {pid} | {other for other, _, session in relations if session in sessions}
    known = 0
    while known < len(found):
        known = len(found)
        found |= {other for other, parent, _ in relations if parent in found}
    return sorted(found)


def _relations() -> list[tuple[int, int, int]]:
    """(pid, parent, session) of all processes."""
    every = ((int(name), _status(int(name))) for name in os.listdir("/proc") if name.isdigit())
    return [(pid, int(fields[1]), int(fields[3])) for pid, fields in every if fields]
