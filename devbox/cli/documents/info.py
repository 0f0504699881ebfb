"""`devbox info` in docker's shape."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import time
from typing import Any

from devbox import __version__
from devbox.cli.documents import mapped
from devbox.cli.units import rfc3339
from devbox.container import apparmor, cgroups
from devbox.container.metering import machine_memory
from devbox.errors import HostError
from devbox.store.database import Store
from devbox.system import process

_NEEDED = ("crun", "conmon", "flock", "nft", "s6-log")


def document(store: Store) -> dict[str, Any]:
    """The whole document."""
    system = os.uname()
    host = cgroups.facts()
    counts = dict(store.db.execute("SELECT status, count(*) FROM containers GROUP BY status").fetchall())
    runtimes = {name: {"path": path} for name in ("crun", "runc") if (path := _found(name))}
    running, paused = counts.get("running", 0), counts.get("paused", 0)
    return {
        "ID": store.root.state,
        "Containers": sum(counts.values()),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": sum(counts.values()) - running - paused,
        "Images": store.db.execute("SELECT count(*) FROM images").fetchone()[0],
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", _file_system(store.root.state)]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": ["json-file", "none"],
        },
        "MemoryLimit": "memory" in host.controllers,
        "SwapLimit": host.swap,
        "CpuCfsPeriod": "cpu" in host.controllers,
        "CpuCfsQuota": "cpu" in host.controllers,
        "CPUShares": "cpu" in host.controllers,
        "CPUSet": "cpuset" in host.controllers,
        "PidsLimit": "pids" in host.controllers,
        "IPv4Forwarding": _text("/proc/sys/net/ipv4/ip_forward") == "1",
        "Debug": False,
        "NFd": 0,
        "NGoroutines": 0,
        "SystemTime": rfc3339(time.time()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": str(host.version),
        "NEventsListener": 0,
        "KernelVersion": system.release,
        "OperatingSystem": _operating_system(),
        "OSType": "linux",
        "Architecture": system.machine,
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": machine_memory(),
        "DockerRootDir": store.root.state,
        "HttpProxy": os.environ.get("HTTP_PROXY", ""),
        "HttpsProxy": os.environ.get("HTTPS_PROXY", ""),
        "NoProxy": os.environ.get("NO_PROXY", ""),
        "Name": system.nodename,
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "Runtimes": mapped(runtimes),
        "DefaultRuntime": next(iter(runtimes), ""),
        "LiveRestoreEnabled": True,
        "SecurityOptions": [*(["name=apparmor"] if apparmor.available() else []), "name=seccomp,profile=builtin"],
        "Warnings": _warnings(host),
    }


def _found(program: str) -> str:
    try:
        return process.find(program)
    except HostError:
        return ""


def _warnings(host: cgroups.Facts) -> list[str]:
    missing = [f"WARNING: {name} is not installed" for name in _NEEDED if not _found(name)]
    limits = [
        f"WARNING: No {name} limit support" for name in ("memory", "cpu", "pids") if name not in host.controllers
    ]
    if apparmor.kernel_has_it() and not apparmor.available():
        missing.append("WARNING: no AppArmor profile for containers: apparmor_parser is not installed")
    return [*missing, *limits, *([] if host.swap else ["WARNING: No swap limit support"])]


def _text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def _operating_system() -> str:
    for line in _text("/etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip("\"'")
    return "Linux"


def _file_system(path: str) -> str:
    """The type of the file system that a path is on, from the mounts of this process."""
    best, kind = "", "unknown"
    for line in _text("/proc/self/mounts").splitlines():
        _, where, name = line.split(" ")[:3]
        inside = path == where or path.startswith(where.rstrip("/") + "/")
        if inside and len(where) >= len(best):
            best, kind = where, name
    return kind
