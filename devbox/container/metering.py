"""What a running container uses, read from its control groups (v1, hybrid or v2) and its network namespace."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import time
from typing import NamedTuple

from devbox.container import cgroups
from devbox.model.container import Container

_PAGE_COUNTER_MAX = 1 << 62
"""cgroup v1 writes a number near 2^63 for "no limit" """


class Usage(NamedTuple):
    """One measurement; counters since the container's start, bytes where not said otherwise."""

    at: float
    """monotonic seconds"""
    cpu: float = 0.0
    """seconds of processor time"""
    memory: int = 0
    """without what the kernel can drop at once"""
    memory_limit: int = 0
    """of the container, or else this machine's"""
    received: int = 0
    sent: int = 0
    read: int = 0
    written: int = 0
    processes: int = 0


def measure(container: Container) -> Usage:
    """Read it all now; what is gone or not counted here is 0."""
    usage = _unified(container.id) if cgroups.facts().version == 2 else _legacy(container.id)
    received, sent = (0, 0) if container.config.network_mode == "host" else _network(container.pid)
    limit = min(usage.memory_limit or _PAGE_COUNTER_MAX, machine_memory())
    return usage._replace(received=received, sent=sent, memory_limit=limit)


def machine_memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _unified(container_id: str) -> Usage:
    group = cgroups.MOUNT + cgroups.path(container_id)
    io = [dict(pair.split("=") for pair in line.split()[1:]) for line in _text(group + "/io.stat").splitlines()]
    return Usage(
        at=time.monotonic(),
        cpu=_table(group + "/cpu.stat").get("usage_usec", 0) / 1e6,
        memory=_resident(_number(group + "/memory.current"), _table(group + "/memory.stat"), "inactive_file"),
        memory_limit=_number(group + "/memory.max"),
        read=sum(int(device.get("rbytes", 0)) for device in io),
        written=sum(int(device.get("wbytes", 0)) for device in io),
        processes=_number(group + "/pids.current"),
    )


def _legacy(container_id: str) -> Usage:
    def group(controller: str) -> str:
        return f"{cgroups.MOUNT}/{controller}{cgroups.path(container_id)}"

    memory = _number(group("memory") + "/memory.usage_in_bytes")
    statistics = _table(group("memory") + "/memory.stat")
    limit = _number(group("memory") + "/memory.limit_in_bytes")
    read, written = _throttled(_text(group("blkio") + "/blkio.throttle.io_service_bytes_recursive"))
    return Usage(
        at=time.monotonic(),
        cpu=_number(group("cpuacct") + "/cpuacct.usage") / 1e9,
        memory=_resident(memory, statistics, "total_inactive_file"),
        memory_limit=limit if limit < _PAGE_COUNTER_MAX else 0,
        read=read,
        written=written,
        processes=_number(group("pids") + "/pids.current"),
    )


def _resident(usage: int, statistics: dict[str, int], droppable: str) -> int:
    cache = statistics.get(droppable, 0)
    return usage - cache if cache < usage else usage


def _throttled(text: str) -> tuple[int, int]:
    """Bytes read and written, of lines such as "8:0 Read 4096"."""
    totals = {"Read": 0, "Write": 0}
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1] in totals:
            totals[fields[1]] += int(fields[2])
    return totals["Read"], totals["Write"]


def _network(pid: int) -> tuple[int, int]:
    """Bytes received and sent by a process's network namespace, without loopback."""
    received = sent = 0
    for line in _text(f"/proc/{pid}/net/dev").splitlines()[2:]:
        name, _, counters = line.partition(":")
        fields = counters.split()
        if name.strip() != "lo" and len(fields) > 8:
            received += int(fields[0])
            sent += int(fields[8])
    return received, sent


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _number(path: str) -> int:
    text = _text(path).strip()
    return int(text) if text.isdigit() else 0


def _table(path: str) -> dict[str, int]:
    """Lines of a name and a number."""
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
