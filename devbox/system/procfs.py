"""Who is alive, told by /proc: a pid alone may be reused or be an orphan that nobody has reaped yet."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import functools
import os


@functools.cache
def boot_id() -> str:
    """A value that changes with every boot of this kernel."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when there is none, or only its remains."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


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


def is_shared(path: str) -> bool:
    """Whether the mount that a path lies on propagates to peers (mount_namespaces(7))."""
    wanted = os.path.realpath(path)
    best, shared = "", False
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields = line.split()
            point = _unescaped(fields[4])
            if len(point) >= len(best) and os.path.commonpath((point, wanted)) == point:
                best, shared = point, any(field.startswith("shared:") for field in fields[6 : fields.index("-")])
    return shared


def _unescaped(text: str) -> str:
    for escape, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(escape, character)
    return text


def descendants(pid: int) -> list[int]:
    """A process, its descendants, and the others of its session, unless that is ours too."""
    relations = sorted(_relations())
    sessions = {session for other, _, session in relations if other == pid} - {os.getsid(0)}
    found = {pid}
    for other, parent, session in relations:
        if parent in found or session in sessions:
            found.add(other)
    return sorted(found)


def _relations() -> list[tuple[int, int, int]]:
    relations = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            relations.append((int(name), int(fields[1]), int(fields[3])))
    return relations
