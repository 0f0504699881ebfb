"""Who has a port of this host: for the one sentence that says why it cannot be published."""

from __future__ import annotations

import contextlib
import os

_TCP_LISTEN = "0A"


def of_port(protocol: str, port: int) -> str:
    """The process that listens there, as "nginx (pid 12)", or the machine for which a broker does."""
    if os.path.isdir("/proc/self/fd"):
        pid = _by_proc(protocol, port)
        found = _named(pid) if pid else ""
    else:
        found = _by_lsof(protocol, port)
    return found or "another process"


def _by_proc(protocol: str, port: int) -> str:
    sockets = {f"socket:[{inode}]" for inode in _inodes(protocol, port)}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if _link(f"/proc/{pid}/fd/{fd}") in sockets:
                    return pid
    return ""


def _inodes(protocol: str, port: int) -> set[str]:
    found = set()
    for table in (protocol, protocol + "6"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/net/{table}", encoding="ascii") as file:
            next(file)
            for line in file:
                fields = line.split()
                listens = protocol == "udp" or fields[3] == _TCP_LISTEN
                if listens and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _named(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            words = file.read().split("\0")
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            name = file.read().strip()
    except OSError:
        return f"process {pid}"
    if "broker" in words and words[words.index("broker") - 1] == "internal":
        return f"the machine {words[words.index('broker') + 1]}"
    return f"{name} (pid {pid})"


def _by_lsof(protocol: str, port: int) -> str:
    """macOS has lsof; elsewhere nobody is named."""
    import subprocess

    state = ["-sTCP:LISTEN"] if protocol == "tcp" else []
    try:
        done = subprocess.run(
            ["lsof", "-nP", f"-i{protocol.upper()}:{port}", *state, "-Fpc"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = {line[:1]: line[1:] for line in reversed(done.stdout.splitlines())}
    return f"{found['c']} (pid {found['p']})" if {"c", "p"} <= found.keys() else ""
