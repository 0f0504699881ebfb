"""Options of docker that are not to be had here, with the reason and what to do instead.

Read only when one of them was typed, so they cost no other command anything, and no help page shows them.
"""

from __future__ import annotations

from typing import NamedTuple


class Refusal(NamedTuple):
    """Why an option is refused."""

    reason: str
    hint: str


_WINDOWS = Refusal("is for containers of Windows", "leave it out")
_REAL_TIME = Refusal(
    "needs a kernel that shares out real time by group, which hardly any does",
    "use --cap-add SYS_NICE --ulimit rtprio=99, or --cpu-shares",
)
_IPV6 = Refusal("is about IPv6, and networks are IPv4 only", "use --ip")
_WEIGHT = Refusal(
    "needs a disk scheduler that shares by weight, which the usual ones do not",
    "limit what is read and written with --device-read-bps and --device-write-bps",
)
_CONTAINER = {
    "--blkio-weight": _WEIGHT,
    "--blkio-weight-device": _WEIGHT,
    "--cgroup-parent": Refusal(
        "is not possible: groups of containers are below /devbox, where they are found again",
        "limit each container",
    ),
    "--cpu-count": _WINDOWS,
    "--cpu-percent": _WINDOWS,
    "--cpu-rt-period": _REAL_TIME,
    "--cpu-rt-runtime": _REAL_TIME,
    "--disable-content-trust": Refusal("has nothing to disable: image signatures are not checked", "leave it out"),
    "--gpus": Refusal(
        "needs the runtime of the card's maker", "give the card itself: --device /dev/dri, --device /dev/nvidia0"
    ),
    "--io-maxbandwidth": _WINDOWS,
    "--io-maxiops": _WINDOWS,
    "--ip6": _IPV6,
    "--isolation": _WINDOWS,
    "--kernel-memory": Refusal("limits nothing since Linux 5.11", "use --memory, which counts the kernel's share"),
    "--link-local-ip": Refusal("is not possible: a container has one address on each network", "use --ip"),
    "--memory-swappiness": Refusal(
        "exists with control groups of version 1 only", "set --memory-swap as high as --memory for no swap at all"
    ),
    "--oom-kill-disable": Refusal(
        "exists with control groups of version 1 only, and leaves processes hanging at the limit",
        "use --oom-score-adj, or a higher --memory",
    ),
    "--storage-opt": Refusal(
        "is not possible: no container's files can be limited in size", "use --tmpfs DIR:size=1g for what may grow"
    ),
    "--use-api-socket": Refusal("has nothing to use: there is no daemon and no API", "leave it out"),
}
_CHECKPOINT = Refusal("is not possible: no container can be frozen to the disk", "use 'devbox pause'")
_START = {"--checkpoint": _CHECKPOINT, "--checkpoint-dir": _CHECKPOINT}
_CLUSTER = Refusal("is for clusters, and this is one machine", "leave it out")
_POOL = Refusal("is not possible: addresses come from devbox's own pool", "use --subnet and --ip-range")
_NETWORK_CREATE = {
    "--ipv6": _IPV6._replace(hint="leave it out"),
    "--aux-address": Refusal(
        "is not possible: no address can be kept free", "use --ip-range for what may be given"
    ),
    "--ingress": _CLUSTER,
    "--config-only": _CLUSTER,
    "--config-from": _CLUSTER,
    "--scope": _CLUSTER,
    "--ipam-driver": _POOL,
    "--ipam-opt": _POOL,
}
_LIMITS = Refusal(
    "is no option of builds: a RUN has no limits of its own", "limit the build from outside: systemd-run -p ..."
)
_BUILD = {
    **dict.fromkeys(
        (
            "--memory",
            "--memory-swap",
            "--cpu-shares",
            "--cpu-period",
            "--cpu-quota",
            "--cpuset-cpus",
            "--cpuset-mems",
        ),
        _LIMITS,
    ),
    "--ulimit": _LIMITS._replace(hint="write 'ulimit' into the RUN"),
    "--shm-size": Refusal("is no option of builds", "RUN --mount=type=tmpfs,target=/dev/shm,size=1g ..."),
    "--security-opt": Refusal("is no option of builds", "RUN --security=insecure, and --allow security.insecure"),
    "--squash": Refusal(
        "is not possible: layers are what the cache keeps", "COPY --from=STAGE / / into an empty stage"
    ),
    "--cgroup-parent": _CONTAINER["--cgroup-parent"],
    "--isolation": _WINDOWS,
    "--disable-content-trust": _CONTAINER["--disable-content-trust"],
    "--attest": Refusal("is not possible: no attestations are made", "leave it out"),
}
REFUSALS: dict[tuple[str, ...], dict[str, Refusal]] = {
    ("image", "build"): _BUILD,
    ("container", "run"): _CONTAINER,
    ("container", "create"): _CONTAINER,
    ("container", "update"): _CONTAINER,
    ("container", "start"): _START,
    ("network", "create"): _NETWORK_CREATE,
    ("network", "connect"): {name: _CONTAINER[name] for name in ("--ip6", "--link-local-ip")},
}


def of(command: tuple[str, ...], flag: str) -> Refusal | None:
    """Why a command does not have a flag of docker's; None for any other flag."""
    return REFUSALS.get(command, {}).get(flag)
