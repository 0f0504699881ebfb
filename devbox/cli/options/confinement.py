"""Options that confine a container, or do not: capabilities, security, namespaces, kernel parameters."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from devbox.container import records
from devbox.container.spec import apparmor, capabilities, surroundings
from devbox.errors import UsageError
from devbox.model.confinement_parse import parse_capability, parse_security_options, parse_sysctls
from devbox.model.container import ContainerConfig
from devbox.model.invocation import Invocation
from devbox.store.database import Store


def confined(wanted: ContainerConfig, store: Store, invocation: Invocation, cwd: str) -> ContainerConfig:
    """The config with everything about confinement; its network is known already."""
    ipc = invocation.text("ipc")
    if ipc != "shareable":
        ipc = namespace(store, ipc, "ipc", ("private", "shareable"))
    if invocation.text("userns") not in ("", "host"):
        raise UsageError(f"invalid --userns {invocation.text('userns')!r}", hint="only 'host' is possible so far")
    if ipc not in ("", "shareable") and invocation.text("shm_size"):
        raise UsageError("conflicting options: --shm-size and --ipc", hint="/dev/shm is the other's")
    wanted = wanted._replace(
        cap_add=tuple(parse_capability(text) for text in invocation.many("cap_add")),
        cap_drop=tuple(parse_capability(text) for text in invocation.many("cap_drop")),
        security_opt=tuple(_security_option(text, cwd) for text in invocation.many("security_opt")),
        privileged=invocation.flag("privileged"),
        pid_mode=namespace(store, invocation.text("pid"), "pid"),
        ipc_mode=ipc,
        cgroupns_mode=_cgroupns_mode(invocation.text("cgroupns")),
        sysctls=parse_sysctls(
            invocation.many("sysctl"), host_network=wanted.network_mode == "host", host_ipc=ipc == "host"
        ),
    )
    bounding = capabilities.bounding_set()
    capabilities.check(wanted, bounding)
    surroundings.profile(wanted, bounding)
    apparmor.ready(wanted)
    return wanted


def _cgroupns_mode(text: str) -> str:
    if text not in ("", "host", "private"):
        raise UsageError(f"invalid --cgroupns {text!r}", hint="use host or private")
    return text


def namespace(store: Store, text: str, option: str, own: tuple[str, ...] = ("private",)) -> str:
    """ "" for the container's own, "host" or "container:ID"."""
    if text in ("", *own):
        return ""
    if text == "host":
        return text
    kind, _, name = text.partition(":")
    if kind != "container" or not name:
        raise UsageError(f"invalid --{option} {text!r}", hint=f"use {', '.join((*own, 'host'))} or container:NAME")
    return f"container:{records.resolve(store, name)}"


def _security_option(text: str, cwd: str) -> str:
    """The option, with a seccomp profile's text in place of its file's name."""
    wanted = parse_security_options([text]).seccomp
    if wanted in ("", "unconfined"):
        return text
    return "seccomp=" + surroundings.read_profile(os.path.join(cwd, wanted))
