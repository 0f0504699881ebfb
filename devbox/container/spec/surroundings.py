"""What a start must find out about this host and the containers it joins before the spec can be written."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import binascii
import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from devbox.container import cgroups, records, runtime
from devbox.container.spec import apparmor, capabilities, configjson, devices, seccomp, seccomp_cache
from devbox.container.spec.rootfs import Prepared
from devbox.errors import RefusedError, StateError, UsageError
from devbox.model.confinement_parse import LIMITS, UNLIMITED, parse_security_options
from devbox.model.container import Container, ContainerConfig
from devbox.store.database import Store
from devbox.system import procfs

_OOM_SCORE = "/proc/self/oom_score_adj"
SECCOMP_SIZE_MAX = 1 << 20


def gather(
    store: Store,
    container: Container,
    prepared: Prepared,
    *,
    rootfs: str,
    netns: str,
    links: Iterable[str] = (),
) -> configjson.Setting:
    """The setting of a container that is being started; its root file system is mounted and prepared.

    `netns` is a path, "host" or "" for an empty one. Raises NotFoundError for a missing device and StateError
    for a container that is to be joined and does not run.
    """
    config = container.config
    bounding = capabilities.bounding_set()
    host = cgroups.facts()
    return configjson.Setting(
        rootfs=rootfs,
        user=prepared.user,
        env=configjson.environment(
            config, configjson.hostname(container), tty=config.tty, links=links, home=prepared.user.home
        ),
        working_dir=prepared.working_dir,
        netns=netns,
        mounts=prepared.mounts,
        cgroup=cgroups.path(container.id),
        cgroups=host,
        bounding=bounding,
        hard_limits=hard_limits(bounding),
        oom_score=_oom_score(config),
        pid_namespace=_joined(store, config.pid_mode, "pid"),
        ipc_namespace=_joined(store, config.ipc_mode, "ipc"),
        uts_namespace=_joined(store, config.uts_mode, "uts"),
        seccomp=profile(config, bounding),
        apparmor=apparmor.ready(config),
        annotations=_compiled_filter(store, container, bounding),
        devices=devices.wanted(config),
        throttles=devices.throttles(config.throttles),
    )


def exec_process(config: ContainerConfig, prepared: Prepared, env: tuple[str, ...]) -> dict[str, Any]:
    """The process document of one that joins a running container, for `crun exec --process`.

    `config` is the container's with what the exec has of its own: command, tty, privileged.
    """
    bounding = capabilities.bounding_set()
    setting = configjson.Setting(
        rootfs="",
        user=prepared.user,
        env=env,
        working_dir=prepared.working_dir,
        netns="",
        mounts=(),
        cgroup="",
        cgroups=cgroups.facts(),
        bounding=bounding,
        hard_limits=hard_limits(bounding),
        oom_score=_oom_score(config),
        apparmor=apparmor.ready(config),
    )
    return configjson.process(config._replace(init=False), setting)


def hard_limits(bounding: frozenset[str]) -> Mapping[str, int]:
    """Limits above which none can be set: the kernel's, and without CAP_SYS_RESOURCE our own hard ones."""
    with open("/proc/sys/fs/nr_open") as file:
        own = {"nofile": int(file.read())}
    if "SYS_RESOURCE" in bounding:
        return own
    import resource

    for name in LIMITS:
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if number is not None:
            hard = resource.getrlimit(number)[1]
            own[name] = UNLIMITED if hard == resource.RLIM_INFINITY else hard
    return own


def _oom_score(config: ContainerConfig) -> int:
    """No container is spared because its starter is; a higher score of ours cannot always be lowered."""
    if config.oom_score_adj is not None:
        return config.oom_score_adj
    return max(0, own_oom_score())


@contextlib.contextmanager
def scored(config: ContainerConfig) -> Iterator[None]:
    """Let what is started meanwhile inherit the container's --oom-score-adj: `crun exec` sets none."""
    if config.oom_score_adj is None:
        yield
        return
    own = own_oom_score()
    _set_own_oom_score(config.oom_score_adj)
    try:
        yield
    finally:
        _set_own_oom_score(own)


def _set_own_oom_score(score: int) -> None:
    with open(_OOM_SCORE, "w") as file:
        file.write(str(score))


def own_oom_score() -> int:
    """This process's own score; below it, and below 0, only CAP_SYS_RESOURCE helps."""
    with open(_OOM_SCORE) as file:
        return int(file.read())


def _joined(store: Store, mode: str, kind: str) -> str:
    """Path of the namespace that `container:ID` means; "" and "host" stay."""
    if mode == "shareable":
        return ""
    name, _, container_id = mode.partition(":")
    if name != "container":
        return mode
    target = records.by_id(store, container_id)
    if not procfs.alive(target.pid, target.pid_start):
        raise StateError(
            f"cannot join the {kind.upper()} namespace of container {target.name}: it does not run",
            hint=f"start it with 'devbox start {target.name}'",
        )
    return f"/proc/{target.pid}/ns/{kind}"


def profile(config: ContainerConfig, bounding: frozenset[str]) -> Mapping[str, Any] | None:
    """The container's seccomp profile; None for unconfined."""
    wanted = parse_security_options(config.security_opt).seccomp
    if wanted == "unconfined" or (config.privileged and not wanted):
        return None
    granted = capabilities.granted(config, bounding)
    machine = os.uname().machine
    if not wanted:
        return seccomp.default(granted, machine)
    return seccomp.from_document(_parsed(wanted), granted, machine, procfs.kernel())


def _compiled_filter(store: Store, container: Container, bounding: frozenset[str]) -> dict[str, str]:
    """The annotation that gives crun the default profile compiled, once it has been."""
    config = container.config
    program = runtime.program(container)
    if os.path.basename(program) != "crun" or config.privileged:
        return {}
    if parse_security_options(config.security_opt).seccomp:
        return {}
    granted = capabilities.granted(config, bounding)
    compiled = seccomp_cache.find(store.root, granted, program)
    if compiled is None:
        seccomp_cache.promise(store.root, container.id, granted, program)
        return {}
    return {seccomp_cache.ANNOTATION: binascii.b2a_base64(compiled, newline=False).decode()}


def _parsed(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"invalid seccomp profile: {error}", hint="it is a JSON file") from error


def read_profile(path: str) -> str:
    """The text of a --security-opt seccomp=FILE, which becomes part of the container's config."""
    try:
        with open(path, "rb") as file:
            text = file.read(SECCOMP_SIZE_MAX + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the seccomp profile {path}: {os.strerror(error.errno or 0).lower()}"
        ) from error
    if len(text) > SECCOMP_SIZE_MAX:
        raise RefusedError(f"the seccomp profile {path} is larger than {SECCOMP_SIZE_MAX >> 20} MiB")
    return text.decode(errors="replace")
