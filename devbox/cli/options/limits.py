"""Options that limit: memory, processors, processes, ulimits."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.container import cgroups
from devbox.container.spec import capabilities, devices, surroundings
from devbox.errors import HostError, UsageError
from devbox.model.confinement_parse import UNLIMITED, parse_ulimit
from devbox.model.container import Resources, Throttle, Ulimit
from devbox.model.invocation import Invocation
from devbox.model.options_parse import parse_count, parse_resources, parse_throttle

_OPTIONS = (
    "memory",
    "memory_swap",
    "memory_reservation",
    "cpus",
    "cpu_shares",
    "cpuset_cpus",
    "pids_limit",
    "cpu_period",
    "cpu_quota",
    "cpuset_mems",
)
_FLOWS = ("read_bps", "read_iops", "write_bps", "write_iops")
_LEAST = {
    "fsize": (32768, "the runtime crun writes the compiled seccomp filter under the limit"),
    "nofile": (64, "the runtime opens as many files under the limit while it makes the container"),
}
"""soft limits below which no container could be created; the kernel takes no filter of more than 32768 bytes"""


def resources(invocation: Invocation, base: Resources = Resources()) -> Resources:  # noqa: B008
    """Limits over those there are; what this host cannot hold is refused."""
    wanted = parse_resources({name: invocation.text(name) for name in _OPTIONS}, base)
    if wanted != base:
        cgroups.check(wanted, cgroups.facts())
    return wanted


def throttles(invocation: Invocation) -> tuple[Throttle, ...]:
    """Values of --device-read-bps and its like, whose devices exist."""
    wanted = [parse_throttle(flow, text) for flow in _FLOWS for text in invocation.many(f"device_{flow}")]
    if wanted and not {"blkio", "io"} & cgroups.facts().controllers:
        raise HostError("this host cannot limit devices: it has no cgroup controller 'blkio' or 'io'")
    devices.throttles(wanted)
    return tuple(wanted)


def oom_score_adj(invocation: Invocation) -> int | None:
    """--oom-score-adj, None where it was not given."""
    text = invocation.text("oom_score_adj")
    if not text:
        return None
    score = parse_count(text, "--oom-score-adj", least=-1000, most=1000)
    own = max(0, surroundings.own_oom_score())
    if score < own and "SYS_RESOURCE" not in capabilities.bounding_set():
        raise HostError(
            f"--oom-score-adj cannot be below {own} here",
            hint="that takes CAP_SYS_RESOURCE, which this process cannot get",
        )
    return score


def ulimits(invocation: Invocation) -> tuple[Ulimit, ...]:
    """Values of --ulimit, the last one of a name winning."""
    wanted = {limit.name: limit for limit in map(parse_ulimit, invocation.many("ulimit"))}
    if not wanted:
        return ()
    most = surroundings.hard_limits(capabilities.bounding_set())
    for limit in wanted.values():
        _check_least(limit, invocation.text("runtime"))
        own = most.get(limit.name, UNLIMITED)
        if (limit.hard if limit.hard >= 0 else UNLIMITED) > own:
            raise HostError(
                f"--ulimit {limit.name} cannot be above {own} here",
                hint="that is this process's own hard limit ('ulimit -H'), or the kernel's (sysctl fs.nr_open)",
            )
    return tuple(wanted.values())


def _check_least(limit: Ulimit, runtime: str) -> None:
    least, reason = _LEAST.get(limit.name, (0, ""))
    written_by_runc = limit.name == "fsize" and runtime == "runc"
    if 0 <= limit.soft < least and not written_by_runc:
        other = ", or use --runtime runc" if limit.name == "fsize" else ""
        raise UsageError(
            f"--ulimit {limit.name}={limit.soft} is too low to start a container: {reason}",
            hint=f"give {limit.name}={least} or more{other}",
        )
