"""Whose child is whose."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os


def descendants(pid: int) -> list[int]:
    """All processes that a process has started, with theirs; not itself."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def own_descendants(pid: int) -> list[int]:
    """Handles of all that a command has started but devbox's watchers of containers, which stay with those."""
    handles = []
    for one in descendants(pid):
        with contextlib.suppress(OSError):
            if not _is_watcher(one):
                handles.append(os.pidfd_open(one))
    return handles


def _is_watcher(pid: int) -> bool:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return b"\0internal\0" in file.read()
