"""What the user (machines.toml) and the project (devbox.toml) want of a machine: checked all at once, then frozen.

    default = "work"                  # the machine of commands that name none

    [machines.work]
    provider = "virtualbox"
    cpus = 4
    memory = "4g"
    box = "~/boxes/metadata.json"     # or a .box file, or https://...: a box there needs box_sha256
    box_sha256 = "..."
    shares = ["~/src"]                # HOST or HOST:GUEST, the same path on both sides without GUEST
    mirrors = ["~/app"]               # the same, but kept on the machine's own disk

    [machines.lab]                    # a Linux host that is there already
    address = "ssh://root@lab.example:22"
    key = "~/.ssh/id_ed25519"
    host_key = "ssh-ed25519 AAAA..."  # or its fingerprint SHA256:...; else it must be in ~/.ssh/known_hosts

The same keys in `[machine]` of a devbox.toml hold where the user's own file says nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from devbox.errors import NotFoundError, UsageError
from devbox.machine import places, settings_parse
from devbox.machine.settings_parse import Mistake
from devbox.machine.translation.mountmap import Share

PROJECT_FILE = "devbox.toml"


class MachineSettings(NamedTuple):
    """What one machine shall be."""

    name: str
    provider: str
    cpus: int = 2
    memory: int = 2048
    """MiB"""
    disk: int = 0
    """GiB; 0 is what the box has"""
    box: str = ""
    """a file, a URL, or the name of a box that Vagrant has"""
    box_sha256: str = ""
    acceleration: str = "auto"
    """auto: the host's where it has one; none: pure emulation"""
    connection: str = "system"
    """libvirt's: system, or session for a user without rights of their own there"""
    start: str = "ask"
    """whether a command that needs the machine may start it: ask, always, never"""
    shares: tuple[Share, ...] = ()
    share_kind: str = "auto"
    """how the machine sees them: auto, or one of settings_parse.SHARE_KINDS"""
    mirrors: tuple[Share, ...] = ()
    """directories that are kept the same on the machine's own disk"""
    address: str = ""
    """ssh://USER@HOST:PORT: a Linux host that is there already; of the above `start` and `mirrors` are for it"""
    key: str = ""
    """private key for that address; "" leaves it to the caller's agent and default keys"""
    host_key: str = ""
    """what that host must show: "ssh-ed25519 AAAA..." or SHA256:...; "" asks ~/.ssh/known_hosts"""


class Settings(NamedTuple):
    """Everything that the files say."""

    default: str
    machines: Mapping[str, MachineSettings]


class SettingsError(UsageError):
    """The files have mistakes, all of which the message lists."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        lines = [str(mistake) for mistake in mistakes]
        many = f"{len(lines)} mistakes in the settings:\n  " + "\n  ".join(lines)
        super().__init__(lines[0] if len(lines) == 1 else many)
        self.mistakes = tuple(mistakes)


def load(cwd: str = "") -> Settings:
    """Read both files; with `cwd` the project's too, from there or a directory above.

    SettingsError lists every mistake in them.
    """
    mistakes: list[Mistake] = []
    user = settings_parse.read(places.settings_file(), settings_parse.user_shape, mistakes)
    project_file = find_project(cwd) if cwd else ""
    project = settings_parse.read(project_file, settings_parse.project_shape, mistakes) if project_file else {}
    if mistakes:
        raise SettingsError(mistakes)
    wishes: dict[str, dict[str, Any]] = user.get("machines", {})
    default = user.get("default") or (min(wishes) if len(wishes) == 1 else places.DEFAULT)
    names = {*wishes, default}
    base = project.get("machine", {})
    return Settings(default, {name: _machine(name, base | wishes.get(name, {})) for name in sorted(names)})


def machine(name: str, cwd: str = "") -> MachineSettings:
    """What one machine shall be; `name` "" is the default machine, and a machine that exists needs no entry."""
    settings = load(cwd)
    wanted = name or settings.default
    found = settings.machines.get(wanted)
    if found is not None:
        return found
    if wanted in places.existing():
        return _machine(wanted, {})
    known = ", ".join(settings.machines)
    raise NotFoundError(
        f"no such machine: {wanted}", hint=f"there is {known}; name others in {places.settings_file()}"
    )


def find_project(cwd: str) -> str:
    """The nearest devbox.toml at or above a directory, "" for none."""
    directory = os.path.abspath(cwd)
    while True:
        candidate = os.path.join(directory, PROJECT_FILE)
        if os.path.isfile(candidate):
            return candidate
        parent = os.path.dirname(directory)
        if parent == directory:
            return ""
        directory = parent


def _machine(name: str, wishes: dict[str, Any]) -> MachineSettings:
    return MachineSettings(**{"name": name, "provider": _default_provider(), **wishes})


def _default_provider() -> str:
    return "libvirt" if sys.platform == "linux" else _provider_elsewhere()


def _provider_elsewhere() -> str:
    """VirtualBox runs none of our boxes on Apple silicon."""
    import platform

    silicon = platform.system() == "Darwin" and platform.machine() == "arm64"
    return "qemu" if silicon else "virtualbox"
