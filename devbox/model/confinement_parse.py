"""Values of --cap-add, --security-opt, --device, --ulimit and --sysctl, read as docker reads them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from devbox.errors import UsageError
from devbox.model.container import Device, Ulimit

_CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE"
)
CAPABILITIES = tuple(_CAPABILITIES.split())
"""in the kernel's order: the index is the bit"""

_LIMITS = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack as"
LIMITS = tuple(_LIMITS.split())
UNLIMITED = (1 << 64) - 1
_LIMIT_MAX = (1 << 63) - 1

_DEVICE_RULE = r"[acb] (?:[0-9]{1,7}|\*):(?:[0-9]{1,7}|\*) ([rwm]{1,3})"
_SYSCTL = r"[a-zA-Z0-9_-]+(?:[./][a-zA-Z0-9_:-]+)+"
_IPC = "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced"
_IPC_SYSCTLS = frozenset(f"kernel.{name}" for name in _IPC.split())


def parse_capability(text: str) -> str:
    """CAP_NET_ADMIN, net_admin or ALL, as "NET_ADMIN"."""
    name = text.upper().removeprefix("CAP_")
    if name != "ALL" and name not in CAPABILITIES:
        import difflib

        near = difflib.get_close_matches(name, CAPABILITIES, n=1)
        raise UsageError(
            f"unknown capability {text!r}",
            hint=f"did you mean {near[0]}?" if near else "capabilities(7) lists them: NET_ADMIN, SYS_PTRACE, ALL",
        )
    return name


class SecurityOptions(NamedTuple):
    """What all --security-opt together say."""

    no_new_privileges: bool = False
    seccomp: str = ""
    """"" (the default profile), "unconfined", or the text of a profile"""
    apparmor: str = ""
    """"" (the default profile, where there is one), "unconfined", or the name of a profile"""
    paths_unconfined: bool = False
    """systempaths=unconfined: no path of /proc or /sys is masked or read-only"""


_SECURITY_HINT = (
    "use no-new-privileges, seccomp=unconfined, seccomp=FILE, apparmor=PROFILE, label=disable "
    "or systempaths=unconfined"
)


def parse_security_options(values: Iterable[str]) -> SecurityOptions:
    """Read all --security-opt, the last value of each winning; UsageError for one that cannot be honoured."""
    options = SecurityOptions()
    for text in values:
        name, value = _security_pair(text)
        if name == "no-new-privileges" and value in ("", "true", "false"):
            options = options._replace(no_new_privileges=value != "false")
        elif name == "seccomp" and value:
            options = options._replace(seccomp="" if value == "builtin" else value)
        elif (name, value) == ("systempaths", "unconfined"):
            options = options._replace(paths_unconfined=True)
        elif name == "apparmor" and value and value.isprintable():
            options = options._replace(apparmor=value)
        elif (name, value) != ("label", "disable"):
            # which is so anyway: devbox sets no SELinux label
            raise _refused_security_option(text, name, value)
    return options


def _security_pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        # docker's old spelling: seccomp:unconfined
        name, _, value = text.partition(":")
    return name, value


def _refused_security_option(text: str, name: str, value: str) -> UsageError:
    if name == "label" and value:
        return UsageError(f"no SELinux label can be set, as '--security-opt {text}' asks", hint=_SECURITY_HINT)
    return UsageError(f"invalid --security-opt {text!r}", hint=_SECURITY_HINT)


def parse_device(text: str) -> Device:
    """Read SOURCE[:TARGET][:PERMISSIONS]; whether the source exists is for the caller to see."""
    parts = text.split(":")
    source, target, permissions = parts[0], parts[0], "rwm"
    if len(parts) == 2:
        if _is_permissions(parts[1]):
            permissions = parts[1]
        else:
            target = parts[1]
    elif len(parts) == 3:
        target, permissions = parts[1] or source, parts[2]
    if len(parts) > 3 or not _is_permissions(permissions):
        raise UsageError(f"invalid --device {text!r}", hint="write it as SOURCE[:TARGET[:rwm]]")
    for path in (source, target):
        if not path.startswith("/") or "\0" in path:
            raise UsageError(f"invalid --device {text!r}: {path!r} is not an absolute path")
    normal = "/" + posixpath.normpath(target).lstrip("/")
    if normal == "/" or normal == "/dev" or normal.startswith(("/proc/", "/sys/")) or normal in ("/proc", "/sys"):
        raise UsageError(f"no device can be put at {normal} of a container, as '--device {text}' asks")
    return Device("/" + posixpath.normpath(source).lstrip("/"), normal, permissions)


def _is_permissions(text: str) -> bool:
    return bool(text) and set(text) <= set("rwm") and len(set(text)) == len(text)


def parse_device_rule(text: str) -> str:
    """Read TYPE MAJOR:MINOR PERMISSIONS of --device-cgroup-rule, as docker writes it down."""
    match = re.fullmatch(_DEVICE_RULE, text, re.ASCII)
    if not match or not _is_permissions(match[1]):
        raise UsageError(f"invalid --device-cgroup-rule {text!r}", hint="write it as 'c 42:* rwm'")
    return text


def parse_ulimit(text: str) -> Ulimit:
    """Read NAME=SOFT[:HARD]; -1 or "unlimited" is no limit, and a missing HARD equals SOFT."""
    name, equals, values = text.partition("=")
    parts = values.split(":")
    if name.lower() not in LIMITS or not equals or len(parts) > 2:
        raise UsageError(
            f"invalid --ulimit {text!r}", hint=f"write it as NAME=SOFT[:HARD], NAME one of {', '.join(LIMITS)}"
        )
    soft = _limit(parts[0], text)
    hard = _limit(parts[1], text) if len(parts) == 2 else soft
    if hard != -1 and (soft == -1 or soft > hard):
        raise UsageError(f"invalid --ulimit {text!r}: the soft limit is above the hard limit")
    return Ulimit(name.lower(), soft, hard)


def _limit(value: str, text: str) -> int:
    if value in ("-1", "unlimited"):
        return -1
    if not re.fullmatch(r"[0-9]{1,19}", value, re.ASCII) or int(value) > _LIMIT_MAX:
        raise UsageError(f"invalid --ulimit {text!r}", hint="a limit is a whole number, or -1 for none")
    return int(value)


def parse_sysctls(
    values: Iterable[str], *, host_network: bool = False, host_ipc: bool = False
) -> Mapping[str, str]:
    """Read NAME=VALUE pairs; only what belongs to a namespace of the container's own is allowed."""
    sysctls: dict[str, str] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(_SYSCTL, name) or set(value) & set("\0\n"):
            raise UsageError(f"invalid --sysctl {text!r}", hint="write it as NAME=VALUE: net.core.somaxconn=1024")
        name = _dotted(name)
        of_network = name.startswith("net.")
        if not of_network and name not in _IPC_SYSCTLS and not name.startswith("fs.mqueue."):
            raise UsageError(
                f"the sysctl {name!r} is not of a namespace: it would change the whole machine",
                hint="net.*, fs.mqueue.* and the kernel.* ones of System V IPC can be set",
            )
        if host_network if of_network else host_ipc:
            kind = "network" if of_network else "IPC"
            raise UsageError(f"the sysctl {name!r} would change the host, whose {kind} namespace is used")
        sysctls[name] = value
    return sysctls


def _dotted(name: str) -> str:
    # sysctl(8): whichever of "/" and "." comes first is the separator
    first = re.search(r"[./]", name)
    if first and first[0] == "/":
        return name.replace(".", "\0").replace("/", ".").replace("\0", "/")
    return name
