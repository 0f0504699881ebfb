"""The OCI runtime's config.json, made of a container and what its start found out (pure)."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from devbox.container import cgroups
from devbox.container.spec import capabilities, devices
from devbox.container.spec.users import User
from devbox.model.confinement_parse import UNLIMITED, parse_security_options
from devbox.model.container import Container, ContainerConfig
from devbox.model.kernel_paths import MASKED_PATHS, READ_ONLY_PATHS
from devbox.model.values_parse import merge_env

OCI_VERSION = "1.0.2"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT_TARGET = "/sbin/docker-init"
_NOFILE = 1024 * 1024


class MountEntry(NamedTuple):
    """A mount in the runtime spec's terms."""

    source: str
    """an absolute path of the host for a bind mount, "tmpfs" for a tmpfs"""
    target: str
    kind: str
    """"bind" or "tmpfs" """
    options: tuple[str, ...] = ()


class Setting(NamedTuple):
    """What a start found out: everything in a config.json that is not in the container's own config."""

    rootfs: str
    user: User
    env: tuple[str, ...]
    working_dir: str
    netns: str
    """path of the network namespace, "host", or "" for an empty one that the runtime makes"""
    mounts: tuple[MountEntry, ...]
    """in the order in which they are made; their targets exist and lead through no link"""
    cgroup: str
    cgroups: cgroups.Facts
    bounding: frozenset[str]
    """capabilities that we can give"""
    hard_limits: Mapping[str, int]
    """by name, where none higher can be set"""
    oom_score: int = 0
    pid_namespace: str = ""
    """path of one to join; "" for the container's own, "host" """
    ipc_namespace: str = ""
    uts_namespace: str = ""
    seccomp: Mapping[str, Any] | None = None
    apparmor: str = ""
    """an AppArmor profile that the kernel has; "" for none"""
    annotations: Mapping[str, str] = {}
    """ours, for the runtime; never an image's"""
    throttles: Mapping[str, Any] = {}
    """`linux.resources.blockIO`"""
    devices: tuple[devices.Node, ...] = ()


def document(container: Container, setting: Setting) -> dict[str, Any]:
    """The whole config.json."""
    config = container.config
    whole = {
        "ociVersion": OCI_VERSION,
        "process": process(config, setting),
        "root": {"path": setting.rootfs, "readonly": config.read_only},
        "mounts": [*_own_mounts(config, setting), *_asked_mounts(setting.mounts)],
        "linux": _linux(config, setting),
        "annotations": {**config.annotations, **setting.annotations},
    }
    if not setting.uts_namespace:
        whole["hostname"] = hostname(container)
    return whole


def process(config: ContainerConfig, setting: Setting) -> dict[str, Any]:
    """The `process` member: that of the container, and with other arguments and user that of an exec."""
    granted = list(capabilities.granted(config, setting.bounding))
    profile = {"apparmorProfile": setting.apparmor} if setting.apparmor else {}
    return {
        **profile,
        "terminal": config.tty,
        "user": {
            "uid": setting.user.uid,
            "gid": setting.user.gid,
            "additionalGids": list(setting.user.groups),
            "umask": 0o022,
        },
        "args": list(arguments(config)),
        "env": list(setting.env),
        "cwd": setting.working_dir,
        "capabilities": {"bounding": granted, "permitted": granted, "effective": granted},
        "rlimits": _rlimits(config, setting),
        "noNewPrivileges": parse_security_options(config.security_opt).no_new_privileges,
        "oomScoreAdj": setting.oom_score,
    }


def command(config: ContainerConfig) -> tuple[str, ...]:
    """What the user wants to run: entrypoint and command."""
    return config.entrypoint + config.command


def arguments(config: ContainerConfig) -> tuple[str, ...]:
    """What is executed: the command, below an init where one was asked for."""
    # one in a PID namespace of others is not their init
    return (INIT_TARGET, "--", *command(config)) if config.init and not config.pid_mode else command(config)


def hostname(container: Container) -> str:
    """The name a container has for itself."""
    return container.config.hostname or container.id[:12]


def environment(
    config: ContainerConfig, hostname: str, *, tty: bool = False, links: Iterable[str] = (), home: str = ""
) -> tuple[str, ...]:
    """A process's variables, later ones over earlier ones: defaults, links, the container's own."""
    defaults = [f"PATH={DEFAULT_PATH}", f"HOSTNAME={hostname}"]
    if tty:
        defaults.append("TERM=xterm")
    if home:
        defaults.append(f"HOME={home}")
    return merge_env(defaults, links, config.env)


def _rlimits(config: ContainerConfig, setting: Setting) -> list[dict[str, Any]]:
    limits = {"nofile": (_NOFILE, _NOFILE), **{one.name: (one.soft, one.hard) for one in config.ulimits}}
    return [
        {"type": f"RLIMIT_{name.upper()}", "soft": _clamped(soft, most), "hard": _clamped(hard, most)}
        for name, (soft, hard) in limits.items()
        for most in [setting.hard_limits.get(name, UNLIMITED)]
    ]


def _clamped(limit: int, most: int) -> int:
    return min(UNLIMITED if limit < 0 else limit, most)


def _own_mounts(config: ContainerConfig, setting: Setting) -> list[dict[str, Any]]:
    """The mounts that every container has, but for those that were asked to be something else."""
    access = "rw" if config.privileged else "ro"
    own = [
        _mount("proc", "/proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("tmpfs", "/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "devpts",
            "/dev/pts",
            "devpts",
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
        ),
        _mount("sysfs", "/sys", "sysfs", "nosuid", "noexec", "nodev", access),
        _mount("cgroup", "/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", access),
    ]
    if setting.cgroups.version == 1 and not config.privileged:
        # the controllers are mounted in a tmpfs, which crun leaves writable
        own.append(_mount("tmpfs", cgroups.MOUNT, "tmpfs", "remount", "nosuid", "noexec", "nodev", "ro"))
    if setting.ipc_namespace != "host":
        own.append(_mount("mqueue", "/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"))
    if not setting.ipc_namespace:
        shared = ("nosuid", "noexec", "nodev", "mode=1777", f"size={config.shm_size}")
        own.append(_mount("shm", "/dev/shm", "tmpfs", *shared))
    replaced = {mount.target for mount in setting.mounts}
    if "/dev" in replaced:
        replaced |= {"/dev/pts", "/dev/mqueue", "/dev/shm"}
    return [mount for mount in own if mount["destination"] not in replaced]


def _mount(source: str, target: str, kind: str, *options: str) -> dict[str, Any]:
    return {"source": source, "destination": target, "type": kind, "options": list(options)}


def _asked_mounts(mounts: Sequence[MountEntry]) -> list[dict[str, Any]]:
    return [_mount(mount.source, mount.target, mount.kind, *mount.options) for mount in mounts]


def _linux(config: ContainerConfig, setting: Setting) -> dict[str, Any]:
    open_paths = config.privileged or parse_security_options(config.security_opt).paths_unconfined
    resources = cgroups.document(config.resources, setting.cgroups)
    resources["devices"] = devices.rules(setting.devices, config.device_rules, privileged=config.privileged)
    if setting.throttles:
        resources["blockIO"] = dict(setting.throttles)
    linux = {
        "namespaces": _namespaces(config, setting),
        "cgroupsPath": setting.cgroup,
        "resources": resources,
        "sysctl": _sysctls(config, setting),
        "devices": devices.documents(setting.devices),
        "maskedPaths": [] if open_paths else list(MASKED_PATHS),
        "readonlyPaths": [] if open_paths else list(READ_ONLY_PATHS),
        "rootfsPropagation": _root_propagation(setting.mounts),
    }
    if setting.seccomp is not None:
        linux["seccomp"] = dict(setting.seccomp)
    return linux


def _root_propagation(mounts: Sequence[MountEntry]) -> str:
    """A bind mount that is shared or a slave cannot be below a private root."""
    wanted = {option for mount in mounts for option in mount.options}
    if wanted & {"shared", "rshared"}:
        return "rshared"
    return "rslave" if wanted & {"slave", "rslave"} else "rprivate"


def _namespaces(config: ContainerConfig, setting: Setting) -> list[dict[str, str]]:
    places = {
        "mount": "",
        "network": setting.netns,
        "uts": setting.uts_namespace,
        "pid": setting.pid_namespace,
        "ipc": setting.ipc_namespace,
    }
    if (config.cgroupns_mode or cgroups.namespace_mode(config, setting.cgroups)) == "private":
        places["cgroup"] = ""
    return [
        {"type": kind, "path": place} if place else {"type": kind}
        for kind, place in places.items()
        if place != "host"
    ]


def _sysctls(config: ContainerConfig, setting: Setting) -> dict[str, str]:
    sysctls = {}
    if config.network_mode != "host" and not config.network_mode.startswith("container:"):
        sysctls = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
    if config.domainname and not setting.uts_namespace:
        sysctls["kernel.domainname"] = config.domainname
    return {**sysctls, **config.sysctls}
