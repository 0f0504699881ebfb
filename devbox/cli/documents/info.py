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
from devbox.container import cgroups
from devbox.container.metering import machine_memory
from devbox.container.spec import apparmor
from devbox.store.database import Store
from devbox.system import process
from devbox.system.procfs import mount_of

_PROXIES = {"HttpProxy": "HTTP_PROXY", "HttpsProxy": "HTTPS_PROXY", "NoProxy": "NO_PROXY"}
_NEEDED = ("crun", "conmon", "flock", "nft", "s6-log")


def document(store: Store) -> dict[str, Any]:
    """The whole document."""
    host = cgroups.facts()
    runtimes = {name: {"path": path} for name in ("crun", "runc") if (path := process.path_of(name))}
    return {
        "ID": store.root.state,
        **_counts(store),
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", mount_of(store.root.state).kind]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": None,
            "Log": ["json-file", "none"],
        },
        **_limits(host),
        "IPv4Forwarding": _text("/proc/sys/net/ipv4/ip_forward") == "1",
        "Debug": False,
        "NFd": 0,
        "NGoroutines": 0,
        "SystemTime": rfc3339(time.time()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": str(host.version),
        "NEventsListener": 0,
        **_machine(),
        "DockerRootDir": store.root.state,
        **{field: _masked(os.environ.get(name, "")) for field, name in _PROXIES.items()},
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": __version__,
        "Runtimes": mapped(runtimes),
        "DefaultRuntime": next(iter(runtimes), ""),
        "LiveRestoreEnabled": True,
        "SecurityOptions": [*(["name=apparmor"] if apparmor.available() else []), "name=seccomp,profile=builtin"],
        "Warnings": _warnings(host),
    }


def _counts(store: Store) -> dict[str, int]:
    counts = dict(store.db.execute("SELECT status, count(*) FROM containers GROUP BY status").fetchall())
    running, paused = counts.get("running", 0), counts.get("paused", 0)
    return {
        "Containers": sum(counts.values()),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": sum(counts.values()) - running - paused,
        "Images": store.db.execute("SELECT count(*) FROM images").fetchone()[0],
    }


def _limits(host: cgroups.Facts) -> dict[str, bool]:
    """What can be limited here."""
    return {
        "MemoryLimit": "memory" in host.controllers,
        "SwapLimit": host.swap,
        "CpuCfsPeriod": "cpu" in host.controllers,
        "CpuCfsQuota": "cpu" in host.controllers,
        "CPUShares": "cpu" in host.controllers,
        "CPUSet": "cpuset" in host.controllers,
        "PidsLimit": "pids" in host.controllers,
    }


def _machine() -> dict[str, Any]:
    system = os.uname()
    return {
        "KernelVersion": system.release,
        "OperatingSystem": _operating_system(),
        "OSType": "linux",
        "Architecture": system.machine,
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": machine_memory(),
        "Name": system.nodename,
    }


def _masked(url: str) -> str:
    """A proxy's address without its password, as docker shows it."""
    scheme, found, rest = url.rpartition("://")
    credentials, at, host = rest.rpartition("@")
    return f"{scheme}{found}xxxxx:xxxxx@{host}" if at and credentials else url


def _warnings(host: cgroups.Facts) -> list[str]:
    missing = [f"WARNING: {name} is not installed" for name in _NEEDED if not process.path_of(name)]
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
    except FileNotFoundError:
        return ""


def _operating_system() -> str:
    for line in _text("/etc/os-release").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            return value.strip("\"'")
    return "Linux"
