"""AppArmor: devbox's default profile, loaded when a container first needs it, and what a container asks for.

Kernels without AppArmor, and machines without the program that compiles profiles, have no default profile, as with
docker; `devbox info` says so. A profile that was asked for by name is applied or the container does not start.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os

from devbox.errors import HostError, NotFoundError
from devbox.model.confinement_parse import parse_security_options
from devbox.model.container import ContainerConfig
from devbox.system import process

DEFAULT = "devbox-default"
UNCONFINED = "unconfined"
_KERNEL = "/sys/kernel/security/apparmor"
_ENABLED = "/sys/module/apparmor/parameters/enabled"
_PARSER = "apparmor_parser"

# With the effect of docker-default: all is allowed but what reaches past the namespaces by /proc, /sys or mounts.
_PROFILE = """\
#include <tunables/global>
profile devbox-default flags=(attach_disconnected,mediate_deleted) {
  #include <abstractions/base>
  network,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (receive) peer=crun,
  signal (receive) peer=runc,
  signal (send,receive) peer=devbox-default,
  ptrace (trace,read,tracedby,readby) peer=devbox-default,

  # of /proc what is of a process, and of /proc/sys what the kernel keeps for each namespace
  deny @{PROC}/* w,
  deny @{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9/]*}/** w,
  deny @{PROC}/sys/[^k]** w,
  deny @{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w,
  deny @{PROC}/sysrq-trigger rwklx,
  deny @{PROC}/kcore rwklx,

  deny mount,

  # of /sys nothing but the control groups
  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
"""


def kernel_has_it() -> bool:
    """Whether processes can be confined by a profile here."""
    try:
        with open(_ENABLED) as file:
            return file.read(1) == "Y" and os.path.isdir(_KERNEL)
    except OSError:
        return False


def available() -> bool:
    """Whether containers get the default profile here."""
    return kernel_has_it() and _parser() != ""


def named(config: ContainerConfig) -> str:
    """The profile of a container's processes, "" where the kernel knows none."""
    asked = parse_security_options(config.security_opt).apparmor
    if asked not in ("", UNCONFINED):
        return asked
    if asked or config.privileged:
        # said, because crun would give the container's profile to a privileged exec
        return UNCONFINED if kernel_has_it() else ""
    return DEFAULT if available() else ""


def ready(config: ContainerConfig) -> str:
    """As `named`, and the kernel has the profile when this returns.

    Raises HostError where there is no AppArmor or the default profile cannot be loaded, NotFoundError for another
    one that nobody has loaded.
    """
    name = named(config)
    if name in ("", UNCONFINED):
        return name
    if not kernel_has_it():
        raise HostError(
            f"this host cannot honour '--security-opt apparmor={name}': its kernel has no AppArmor, or it is off",
            hint="leave the option out, or boot with 'lsm=...,apparmor'",
        )
    if name not in _loaded():
        if name != DEFAULT:
            raise NotFoundError(
                f"no AppArmor profile {name!r} is loaded",
                hint=f"load its file with 'apparmor_parser -r FILE'; without the option it is {DEFAULT}",
            )
        _load()
    return name


def _loaded() -> set[str]:
    """The names of all profiles that the kernel has."""
    try:
        with open(_KERNEL + "/profiles", errors="replace") as file:
            return {line.rpartition(" (")[0] for line in file}
    except OSError as error:
        raise HostError(f"cannot read the AppArmor profiles: {os.strerror(error.errno or 0).lower()}") from error


def _load() -> None:
    result = process.run([_parser(), "--skip-cache", "--replace"], stdin=_PROFILE.encode(), check=False)
    if result.status != 0:
        words = result.output.decode(errors="replace").split()
        raise HostError(
            f"cannot load the AppArmor profile {DEFAULT}: {' '.join(words)}",
            hint="'--security-opt apparmor=unconfined' starts a container without it",
        )


def _parser() -> str:
    """The program that compiles profiles, "" when it is not installed."""
    try:
        return process.find(_PARSER)
    except HostError:
        return ""
