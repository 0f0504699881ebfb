"""The HostConfig of a container's document: what was asked of the host."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from typing import Any

from devbox.cli.documents import listed, mapped
from devbox.cli.templates.values import ABSENT, ABSENT_LIST, ABSENT_MAP
from devbox.container import cgroups
from devbox.model.confinement_parse import parse_security_options
from devbox.model.container import Container, ContainerConfig, Device, LogConfig, Ulimit
from devbox.model.kernel_paths import MASKED_PATHS, READ_ONLY_PATHS
from devbox.model.mount import Mount


def host_config(container: Container, links: list[str]) -> dict[str, Any]:
    """docker's HostConfig; what devbox has no option for has docker's default."""
    config = container.config
    return {
        "Binds": listed(_bind(mount) for mount in config.mounts if _by_volume_option(mount)),
        "ContainerIDFile": "",
        "LogConfig": {"Type": config.log.driver, "Config": mapped(_log_options(config.log))},
        "NetworkMode": config.network_mode,
        "PortBindings": mapped(_port_bindings(config)),
        "RestartPolicy": {"Name": config.restart.name, "MaximumRetryCount": config.restart.maximum},
        "AutoRemove": config.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": listed(()),
        "ConsoleSize": [0, 0],
        **_confinement(config),
        "Links": listed(links),
        **_namespaces(config),
        "ShmSize": config.shm_size,
        "Runtime": config.runtime or "crun",
        "Isolation": "",
        **_limits(config),
        "Mounts": [_mount(mount) for mount in config.mounts if mount.kind == "bind" and not mount.create_source]
        or ABSENT_LIST,
        "Tmpfs": mapped(_tmpfs(config)) or ABSENT_MAP,
        "Sysctls": mapped(config.sysctls) or ABSENT_MAP,
        "Init": config.init or ABSENT,
        "Annotations": mapped(config.annotations) or ABSENT_MAP,
        **_kernel_paths(config),
    }


def _kernel_paths(config: ContainerConfig) -> dict[str, Any]:
    if config.privileged or parse_security_options(config.security_opt).paths_unconfined:
        return {"MaskedPaths": None, "ReadonlyPaths": None}
    return {"MaskedPaths": list(MASKED_PATHS), "ReadonlyPaths": list(READ_ONLY_PATHS)}


def _by_volume_option(mount: Mount) -> bool:
    """Whether `-v` may have made it: docker lists those as Binds."""
    return mount.create_source if mount.kind == "bind" else mount.kind == "volume" and not mount.anonymous


def _bind(mount: Mount) -> str:
    options = [*(["ro"] if mount.read_only else []), *([mount.propagation] if mount.propagation else [])]
    return ":".join((mount.source, mount.target, *([",".join(options)] if options else [])))


def _mount(mount: Mount) -> dict[str, Any]:
    read_only = {"ReadOnly": True} if mount.read_only else {}
    return {"Type": mount.kind, "Source": mount.source, "Target": mount.target, **read_only}


def _tmpfs(config: ContainerConfig) -> dict[str, str]:
    return {mount.target: _tmpfs_options(mount) for mount in config.mounts if mount.kind == "tmpfs"}


def _tmpfs_options(mount: Mount) -> str:
    options = list(mount.tmpfs_options)
    if mount.tmpfs_size is not None:
        options.append(f"size={mount.tmpfs_size}")
    if mount.tmpfs_mode is not None:
        options.append(f"mode={mount.tmpfs_mode:o}")
    return ",".join(options)


def _log_options(log: LogConfig) -> dict[str, str]:
    if log.driver == "none":
        return {}
    return {"max-file": str(log.max_file), "max-size": str(log.max_size)}


def _port_bindings(config: ContainerConfig) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {}
    for wish in config.ports:
        host_port = str(wish.host_port or "") + (f"-{wish.host_port_end}" if wish.host_port_end else "")
        address = "" if wish.host_address == "0.0.0.0" else wish.host_address
        binding = {"HostIp": address, "HostPort": host_port}
        found.setdefault(f"{wish.container_port}/{wish.protocol}", []).append(binding)
    return found


def _confinement(config: ContainerConfig) -> dict[str, Any]:
    return {
        "CapAdd": listed(config.cap_add),
        "CapDrop": listed(config.cap_drop),
        "CgroupnsMode": config.cgroupns_mode or cgroups.namespace_mode(config, cgroups.facts()),
        "Dns": list(config.dns),
        "DnsOptions": list(config.dns_options),
        "DnsSearch": list(config.dns_search),
        "ExtraHosts": listed(config.extra_hosts),
        "GroupAdd": listed(config.group_add),
    }


def _namespaces(config: ContainerConfig) -> dict[str, Any]:
    return {
        "IpcMode": config.ipc_mode or "private",
        "Cgroup": "",
        "OomScoreAdj": config.oom_score_adj or 0,
        "PidMode": config.pid_mode,
        "Privileged": config.privileged,
        "PublishAllPorts": config.publish_all,
        "ReadonlyRootfs": config.read_only,
        "SecurityOpt": listed(config.security_opt),
        "UTSMode": config.uts_mode,
        "UsernsMode": "",
    }


def _limits(config: ContainerConfig) -> dict[str, Any]:
    limits = config.resources
    return {
        "CpuShares": limits.cpu_shares or 0,
        "Memory": limits.memory or 0,
        "NanoCpus": round((limits.cpus or 0) * 1_000_000_000),
        "CgroupParent": "",
        "BlkioWeight": 0,
        "BlkioWeightDevice": [],
        **_throttles(config),
        "CpuPeriod": limits.cpu_period or 0,
        "CpuQuota": limits.cpu_quota or 0,
        "CpuRealtimePeriod": 0,
        "CpuRealtimeRuntime": 0,
        "CpusetCpus": limits.cpuset_cpus,
        "CpusetMems": limits.cpuset_mems,
        "Devices": [_device(device) for device in config.devices],
        "DeviceCgroupRules": listed(config.device_rules),
        "DeviceRequests": listed(()),
        "MemoryReservation": limits.memory_reservation or 0,
        "MemorySwap": _swap(config),
        "MemorySwappiness": None,
        "OomKillDisable": False,
        "PidsLimit": limits.pids_limit,
        "Ulimits": [_ulimit(ulimit) for ulimit in config.ulimits],
    }


def _throttles(config: ContainerConfig) -> dict[str, Any]:
    def of(flow: str) -> list[dict[str, Any]]:
        return [{"Path": each.device, "Rate": each.rate} for each in config.throttles if each.flow == flow]

    return {
        "BlkioDeviceReadBps": of("read_bps"),
        "BlkioDeviceWriteBps": of("write_bps"),
        "BlkioDeviceReadIOps": of("read_iops"),
        "BlkioDeviceWriteIOps": of("write_iops"),
    }


def _swap(config: ContainerConfig) -> int:
    limits = config.resources
    if limits.memory_swap is not None:
        return limits.memory_swap
    return 2 * limits.memory if limits.memory else 0


def _device(device: Device) -> dict[str, str]:
    return {
        "PathOnHost": device.source,
        "PathInContainer": device.target,
        "CgroupPermissions": device.permissions,
    }


def _ulimit(ulimit: Ulimit) -> dict[str, Any]:
    return {"Name": ulimit.name, "Hard": ulimit.hard, "Soft": ulimit.soft}
