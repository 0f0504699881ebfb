"""Control groups: what this host has, and a container's limits in the form of the runtime spec."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import functools
import os
import signal
import time
from typing import Any, Literal, NamedTuple

from devbox.errors import HostError, UsageError
from devbox.model.container import ContainerConfig, Resources

MOUNT = "/sys/fs/cgroup"
PERIOD_MICROSECONDS = 100_000
SHARES_DEFAULT = 1024
PIDS_MAX = 1 << 22
QUOTA_MAX = 8192 * PERIOD_MICROSECONDS
"""as good as no limit, of processes and of processors: crun 1.8 cannot lift one that is set"""
_DESTROY_SECONDS = 5.0
_MEMORY = {"limit": "memory", "reservation": "memory_reservation"}
_NEEDED = {
    "memory": ("memory", "--memory"),
    "memory_swap": ("memory", "--memory-swap"),
    "memory_reservation": ("memory", "--memory-reservation"),
    "cpus": ("cpu", "--cpus"),
    "cpu_shares": ("cpu", "--cpu-shares"),
    "cpuset_cpus": ("cpuset", "--cpuset-cpus"),
    "cpu_period": ("cpu", "--cpu-period"),
    "cpu_quota": ("cpu", "--cpu-quota"),
    "cpuset_mems": ("cpuset", "--cpuset-mems"),
}
"""what a limit needs: (controller, option)"""


class Facts(NamedTuple):
    """What this host's control groups can do."""

    version: Literal[1, 2]
    """1 for hybrid hosts too: the controllers are there"""
    controllers: frozenset[str]
    swap: bool
    """whether swap is limited, too"""
    processors: str
    """the list of processors, "0-3" """
    memory_nodes: str = "0"


@functools.cache
def facts() -> Facts:
    """The facts of this host, read once."""
    if os.path.exists(MOUNT + "/cgroup.controllers"):
        controllers = frozenset(_read(MOUNT + "/cgroup.controllers").split())
        # memory.swap.max is in every group but the topmost
        return Facts(2, controllers, os.path.exists("/proc/swaps"), _processors(), _memory_nodes())
    names = frozenset(name for name in _listed(MOUNT) if os.path.isdir(f"{MOUNT}/{name}"))
    swap = os.path.exists(MOUNT + "/memory/memory.memsw.limit_in_bytes")
    return Facts(1, names, swap, _processors(), _memory_nodes())


def path(container_id: str) -> str:
    """Where a container's group is, below the mount of every hierarchy."""
    return f"/devbox/{container_id}"


def namespace_mode(config: ContainerConfig, host: Facts) -> Literal["host", "private"]:
    """The cgroup namespace of a container that asked for none, as docker chooses it."""
    return "private" if host.version == 2 and not config.privileged else "host"


def leave_session(pid: int) -> None:
    """Take a process that watches containers out of the group of whoever started it.

    systemd ends everything in a service's or a login's group with it, and the containers would be left unwatched.
    Only where all groups are of version 2; where it is not allowed the process stays.
    """
    place = f"{MOUNT}/devbox/monitors"
    if facts().version == 2:
        with contextlib.suppress(OSError):
            os.makedirs(place, exist_ok=True)
            with open(place + "/cgroup.procs", "w") as file:
                file.write(str(pid))


def destroy(container_id: str) -> None:
    """Kill what is left in a container's group, and delete the group; absent is fine.

    A runtime that was killed while it created the container has not written down its first process, which waits
    for ever to be let go, and nobody else would find it.
    """
    deadline = time.monotonic() + _DESTROY_SECONDS
    for place in filter(os.path.isdir, _places(container_id)):
        while not _destroyed(place) and time.monotonic() < deadline:
            time.sleep(0.005)


def vacated(container_id: str) -> bool:
    """Delete a container's group; False when a process is still in it, or a group of the container's own."""
    for place in _places(container_id):
        try:
            os.rmdir(place)
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True


def _places(container_id: str) -> list[str]:
    """A container's group in every hierarchy; not all of them exist."""
    return [base + path(container_id) for base in (MOUNT, *(f"{MOUNT}/{name}" for name in _listed(MOUNT)))]


def _destroyed(place: str) -> bool:
    for pid in _read(place + "/cgroup.procs").split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    try:
        os.rmdir(place)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def check(resources: Resources, host: Facts) -> None:
    """Raise when a limit was asked for that this host cannot hold."""
    for field, (controller, option) in _NEEDED.items():
        if getattr(resources, field) and controller not in host.controllers:
            raise HostError(
                f"this host cannot honour {option}: it has no cgroup controller {controller!r}",
                hint=f"{MOUNT} shows those it has",
            )
    if resources.pids_limit not in (None, Resources().pids_limit) and "pids" not in host.controllers:
        raise HostError("this host cannot honour --pids-limit: it has no cgroup controller 'pids'")
    if (resources.memory_swap or -1) > 0 and not host.swap:
        raise HostError(
            "this host cannot honour --memory-swap: its kernel does not count swap",
            hint="boot it with swapaccount=1, or leave the option out",
        )
    processors = _numbers(host.processors)
    if resources.cpus and resources.cpus > len(processors):
        raise UsageError(
            f"--cpus {resources.cpus:g} is more than this host has",
            hint=f"it has {len(processors)}: from 0.01 to {len(processors)} can be given",
        )
    absent = _numbers(resources.cpuset_cpus) - processors
    if absent:
        raise UsageError(f"this host has no processor {min(absent)}", hint=f"it has {host.processors}")
    absent = _numbers(resources.cpuset_mems) - _numbers(host.memory_nodes)
    if absent:
        raise UsageError(f"this host has no memory node {min(absent)}", hint=f"it has {host.memory_nodes}")


def _numbers(ranges: str) -> frozenset[int]:
    """The members of "0-2,5"."""
    numbers: set[int] = set()
    for part in ranges.split(",") if ranges else ():
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def document(resources: Resources, host: Facts) -> dict[str, Any]:
    """`linux.resources` without devices."""
    limits: dict[str, Any] = {}
    if resources.pids_limit and "pids" in host.controllers:
        limits["pids"] = {"limit": resources.pids_limit}
    memory = _memory(resources, host)
    if memory:
        limits["memory"] = memory
    cpu = _cpu(resources)
    if cpu:
        limits["cpu"] = cpu
    return limits


def update_document(before: Resources, after: Resources, host: Facts) -> dict[str, Any]:
    """What changes the limits of a running container: as `document`, and limits that are lifted say so."""
    limits = document(after, host)
    lifted = {name for name in after._fields if getattr(before, name) and not getattr(after, name)}
    if "pids_limit" in lifted and "pids" in host.controllers:
        limits["pids"] = {"limit": PIDS_MAX}
    unlimited = {name: -1 for name, field in _MEMORY.items() if field in lifted}
    if "memory" in lifted and host.swap:
        unlimited["swap"] = -1
    processors: dict[str, Any] = {}
    if lifted & {"cpus", "cpu_quota"} and not (after.cpus or after.cpu_quota):
        processors = {"quota": QUOTA_MAX, "period": PERIOD_MICROSECONDS}
    if "cpu_shares" in lifted:
        processors["shares"] = SHARES_DEFAULT
    if "cpuset_cpus" in lifted:
        processors["cpus"] = host.processors
    if "cpuset_mems" in lifted:
        processors["mems"] = host.memory_nodes
    for kind, values in (("memory", unlimited), ("cpu", processors)):
        if values:
            limits[kind] = {**limits.get(kind, {}), **values}
    return limits


def _memory(resources: Resources, host: Facts) -> dict[str, int]:
    memory: dict[str, int] = {}
    if resources.memory is not None:
        memory["limit"] = resources.memory
        if host.swap:
            memory["swap"] = swap_limit(resources)
    if resources.memory_reservation is not None:
        memory["reservation"] = resources.memory_reservation
    return memory


def swap_limit(resources: Resources) -> int:
    """Memory plus swap in bytes, -1 for no limit; docker's default is as much swap as memory."""
    if resources.memory_swap is not None:
        return resources.memory_swap
    return -1 if resources.memory is None else 2 * resources.memory


def _cpu(resources: Resources) -> dict[str, Any]:
    cpu: dict[str, Any] = {}
    if resources.cpu_shares:
        cpu["shares"] = resources.cpu_shares
    if resources.cpus:
        cpu["quota"] = round(resources.cpus * PERIOD_MICROSECONDS)
        cpu["period"] = PERIOD_MICROSECONDS
    if resources.cpuset_cpus:
        cpu["cpus"] = resources.cpuset_cpus
    if resources.cpu_quota:
        cpu["quota"] = resources.cpu_quota
    if resources.cpu_quota or resources.cpu_period:
        cpu["period"] = resources.cpu_period or PERIOD_MICROSECONDS
    if resources.cpuset_mems:
        cpu["mems"] = resources.cpuset_mems
    return cpu


def _processors() -> str:
    return _read("/sys/devices/system/cpu/online").strip() or "0"


def _memory_nodes() -> str:
    return _read("/sys/devices/system/node/online").strip() or "0"


def _read(file: str) -> str:
    try:
        with open(file) as stream:
            return stream.read()
    except OSError:
        return ""


def _listed(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
