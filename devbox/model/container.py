"""What a container was asked to be (`ContainerConfig`) and what it is (`Container`)."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from devbox.model.mount import Mount
from devbox.model.network import EndpointWish, PortWish

Status = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]


class Resources(NamedTuple):
    """Limits; None means unlimited or the kernel's default. Bytes, CPUs, or counts."""

    memory: int | None = None
    memory_swap: int | None = None
    """memory plus swap in bytes, -1 for unlimited swap"""
    cpus: float | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str = ""
    pids_limit: int | None = 4096
    """None: unlimited"""
    memory_reservation: int | None = None
    """what is left to it when memory gets scarce"""
    cpu_period: int | None = None
    cpu_quota: int | None = None
    """microseconds of processor time in each period, instead of `cpus`"""
    cpuset_mems: str = ""


class Ulimit(NamedTuple):
    """`name` as in getrlimit(2) without RLIMIT_, lower case; -1 is unlimited."""

    name: str
    soft: int
    hard: int


class Device(NamedTuple):
    """A host device shown in the container; permissions is a subset of "rwm"."""

    source: str
    target: str
    permissions: str = "rwm"


class Throttle(NamedTuple):
    """A limit of one flow of a block device of the host, in bytes or operations in a second."""

    flow: Literal["read_bps", "read_iops", "write_bps", "write_iops"]
    device: str
    rate: int


class RestartPolicy(NamedTuple):
    """docker's --restart; `maximum` counts retries of on-failure, 0 for no limit."""

    name: Literal["no", "always", "on-failure", "unless-stopped"] = "no"
    maximum: int = 0


class LogConfig(NamedTuple):
    """The log driver: `json-file` is accepted as the name of our own capped files, or `none`."""

    driver: Literal["json-file", "none"] = "json-file"
    max_size: int = 10_000_000
    """bytes per file"""
    max_file: int = 3


class HealthCheck(NamedTuple):
    """docker's health check: `test` is ("CMD", arg...), ("CMD-SHELL", line) or ("NONE",); times in seconds."""

    test: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_interval: float = 5.0
    """between checks as long as the start period lasts and none has succeeded"""


class ContainerConfig(NamedTuple):
    """Everything a container is started from: the user's flags merged over the image's config.

    Frozen at create; `update`, `rename`, `network connect` and `link` write a new one.
    """

    # the process
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """"NAME=value", later wins already applied"""
    working_dir: str = ""
    user: str = ""
    group_add: tuple[str, ...] = ()
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    """its input ends when the first client leaves, as with `run -i`"""
    stop_signal: str = "SIGTERM"
    stop_timeout: int = 10
    """seconds"""
    init: bool = False
    health: HealthCheck | None = None
    # identity
    hostname: str = ""
    """empty: the short id"""
    domainname: str = ""
    labels: Mapping[str, str] = {}
    # files
    mounts: tuple[Mount, ...] = ()
    """resolved: volumes have names, --volumes-from is expanded"""
    read_only: bool = False
    shm_size: int = 64 * 1024 * 1024
    devices: tuple[Device, ...] = ()
    device_rules: tuple[str, ...] = ()
    """"c 42:* rwm" """
    # network
    network_mode: str = "bridge"
    """"bridge", "none", "host", "container:<id>" or the name of a user network"""
    endpoints: tuple[EndpointWish, ...] = ()
    """networks to join at start; empty for none, host and container:X"""
    exposed: tuple[str, ...] = ()
    """"80/tcp", sorted"""
    ports: tuple[PortWish, ...] = ()
    publish_all: bool = False
    extra_hosts: tuple[str, ...] = ()
    """"name:address" """
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    # confinement
    resources: Resources = Resources()
    throttles: tuple[Throttle, ...] = ()
    oom_score_adj: int | None = None
    """None: the one of whoever starts it"""
    ulimits: tuple[Ulimit, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    privileged: bool = False
    sysctls: Mapping[str, str] = {}
    pid_mode: str = ""
    """"", "host" or "container:<id>" """
    ipc_mode: str = ""
    """"", "shareable", which is the same, "host" or "container:<id>" """
    cgroupns_mode: str = ""
    """"host" or "private"; empty: as the host's version of control groups has it"""
    uts_mode: str = ""
    """"" or "host" """
    # life
    restart: RestartPolicy = RestartPolicy()
    auto_remove: bool = False
    log: LogConfig = LogConfig()
    runtime: str = ""
    """"", "crun" or "runc"; empty: crun, or runc where crun cannot run"""
    annotations: Mapping[str, str] = {}
    """the user's own, for the runtime"""
    platform: str = ""


class Container(NamedTuple):
    """A row of the `containers` table."""

    id: str
    """64 hex digits"""
    name: str
    created: float
    """seconds since the epoch, as every time in the state file"""
    image_id: str
    image_name: str
    """as the user wrote it"""
    config: ContainerConfig
    status: Status = "created"
    pid: int = 0
    """of the container's first process, 0 when it does not run"""
    pid_start: int = 0
    """start time of that process in clock ticks since boot (/proc/PID/stat field 22)"""
    monitor_pid: int = 0
    boot_id: str = ""
    started: float = 0.0
    finished: float = 0.0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    restart_count: int = 0
    stopped_by_user: bool = False
    """set by stop and kill: no restart policy applies until the next start"""
    health: Mapping[str, Any] = {}
    """docker's State.Health shape, empty without a health check"""
