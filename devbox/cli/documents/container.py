"""`devbox inspect CONTAINER` in docker's shape."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from collections.abc import Mapping
from typing import Any

from devbox.cli.documents import keys, listed, mapped, mapped_or_nil
from devbox.cli.documents.container_host import host_config
from devbox.cli.documents.container_network import links, settings
from devbox.cli.templates.values import ABSENT, ABSENT_MAP, ABSENT_TEXT
from devbox.cli.units import rfc3339
from devbox.container.files import sizes
from devbox.container.spec import apparmor
from devbox.model.container import Container, HealthCheck
from devbox.model.mount import Mount
from devbox.store.database import Store

NANOSECONDS = 1_000_000_000
DEFAULT_STOP_TIMEOUT = 10


def document(store: Store, container: Container, *, sized: bool = False) -> dict[str, Any]:
    """The whole document; `sized` adds SizeRw and SizeRootFs."""
    config = container.config
    home = store.root.container(container.id)
    first, *arguments = (*config.entrypoint, *config.command) or ("",)
    own, whole = sizes.of(store, container) if sized else (ABSENT, ABSENT)
    return {
        "Id": container.id,
        "Created": rfc3339(container.created),
        "Path": first,
        "Args": arguments,
        "State": _state(container),
        "Image": container.image_id,
        "ResolvConfPath": home + "/resolv.conf",
        "HostnamePath": home + "/hostname",
        "HostsPath": home + "/hosts",
        "LogPath": "" if config.log.driver == "none" else home + "/log/current",
        "Name": "/" + container.name,
        "RestartCount": container.restart_count,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": apparmor.named(config),
        "ExecIDs": None,
        "HostConfig": host_config(container, links(store, container)),
        "GraphDriver": _graph_driver(store, container),
        "SizeRw": own,
        "SizeRootFs": whole,
        "Mounts": [_mount(store, mount) for mount in config.mounts],
        "Config": _config(container),
        "NetworkSettings": settings(store, container),
    }


def _state(container: Container) -> dict[str, Any]:
    status = container.status
    return {
        "Status": status,
        "Running": status in ("running", "paused", "restarting"),
        "Paused": status == "paused",
        "Restarting": status == "restarting",
        "OOMKilled": container.oom_killed,
        "Dead": status == "dead",
        "Pid": container.pid,
        "ExitCode": container.exit_code,
        "Error": container.error,
        "StartedAt": rfc3339(container.started),
        "FinishedAt": rfc3339(container.finished),
        "Health": _health(container.health) if container.health else ABSENT,
    }


def _health(health: Mapping[str, Any]) -> dict[str, Any]:
    log = [{**entry, "Start": rfc3339(entry["Start"]), "End": rfc3339(entry["End"])} for entry in health["Log"]]
    return {"Status": health["Status"], "FailingStreak": health["FailingStreak"], "Log": log}


def _config(container: Container) -> dict[str, Any]:
    config = container.config
    volumes = [mount.target for mount in config.mounts if mount.kind == "volume" and mount.anonymous]
    return {
        "Hostname": config.hostname or container.id[:12],
        "Domainname": config.domainname,
        "User": config.user,
        "AttachStdin": config.stdin_once,
        "AttachStdout": False,
        "AttachStderr": False,
        "ExposedPorts": keys(config.exposed) or ABSENT_MAP,
        "Tty": config.tty,
        "OpenStdin": config.open_stdin,
        "StdinOnce": config.stdin_once,
        "Env": list(config.env),
        "Cmd": listed(config.command),
        "Healthcheck": _health_check(config.health) if config.health else ABSENT,
        "Image": container.image_name,
        "Volumes": mapped_or_nil(keys(volumes)),
        "WorkingDir": config.working_dir,
        "Entrypoint": listed(config.entrypoint),
        "OnBuild": listed(()),
        "Labels": mapped(config.labels),
        "StopSignal": config.stop_signal,
        "StopTimeout": ABSENT if config.stop_timeout == DEFAULT_STOP_TIMEOUT else config.stop_timeout,
    }


def _health_check(health: HealthCheck) -> dict[str, Any]:
    return {
        "Test": list(health.test),
        "Interval": int(health.interval * NANOSECONDS),
        "Timeout": int(health.timeout * NANOSECONDS),
        "StartPeriod": int(health.start_period * NANOSECONDS),
        "StartInterval": int(health.start_interval * NANOSECONDS),
        "Retries": health.retries,
    }


def _graph_driver(store: Store, container: Container) -> dict[str, Any]:
    rows = store.db.execute(
        "SELECT layer_id FROM image_layers WHERE image_id = ? ORDER BY position DESC", (container.image_id,)
    )
    home = store.root.container(container.id)
    data = {
        "LowerDir": ":".join(f"{store.root.layers}/{row['layer_id']}/diff" for row in rows),
        "MergedDir": store.root.bundle(container.id) + "/rootfs",
        "UpperDir": home + "/diff",
        "WorkDir": home + "/work",
    }
    return {"Data": mapped(data), "Name": "overlay2"}


def _mount(store: Store, mount: Mount) -> dict[str, Any]:
    is_volume = mount.kind == "volume"
    source = f"{store.root.volumes}/{mount.source}/_data" if is_volume else mount.source
    return {
        "Type": mount.kind,
        "Name": mount.source if is_volume else ABSENT_TEXT,
        "Source": source,
        "Destination": mount.target,
        "Driver": "local" if is_volume else ABSENT_TEXT,
        "Mode": "ro" if mount.read_only else "",
        "RW": not mount.read_only,
        "Propagation": (mount.propagation or "rprivate") if mount.kind == "bind" else "",
    }
