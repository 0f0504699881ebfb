"""Who has a port: read from /proc, for the one sentence that says why it cannot be published."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os

_TCP_LISTEN = "0A"


def of_port(protocol: str, port: int) -> str:
    """The process that listens on a port, as "nginx (pid 12)"; empty when it cannot be seen."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(protocol, port)}
    if not sockets:
        return ""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if _has_one(pid, sockets):
            return f"{_name(pid)} (pid {pid})"
    return ""


def _inodes(protocol: str, port: int) -> set[str]:
    found = set()
    for table in (protocol, protocol + "6"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/net/{table}") as file:
            next(file)
            for line in file:
                fields = line.split()
                listens = protocol == "udp" or fields[3] == _TCP_LISTEN
                if listens and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found


def _has_one(pid: str, sockets: set[str]) -> bool:
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f"/proc/{pid}/fd/{fd}") in sockets:
                    return True
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        pass
    return False


def _name(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", errors="replace") as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "a process"
