"""Where devbox keeps its machines on this host: the platform's own folders."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from devbox.errors import UsageError

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
DEFAULT = "default"


class MachinePlace(NamedTuple):
    """The files of one machine."""

    name: str
    directory: str

    @property
    def description(self) -> str:
        """What the Vagrantfile reads."""
        return os.path.join(self.directory, "machine.json")

    @property
    def vagrantfile(self) -> str:
        """A copy of the template."""
        return os.path.join(self.directory, "Vagrantfile")

    @property
    def endpoint(self) -> str:
        """The address as it was last seen."""
        return os.path.join(self.directory, "endpoint.json")

    @property
    def provisioned(self) -> str:
        """The host key, and of which virtual machine it is."""
        return os.path.join(self.directory, "provisioned.json")

    @property
    def known_hosts(self) -> str:
        """The pinned host key in OpenSSH's format."""
        return os.path.join(self.directory, "known_hosts")

    @property
    def shares(self) -> str:
        """What is mounted of this host since the last start."""
        return os.path.join(self.directory, "shares.json")

    @property
    def mirrors(self) -> str:
        """A directory for each mirror."""
        return os.path.join(self.directory, "mirrors")

    @property
    def lock(self) -> str:
        """Held by whoever changes the machine; its content names them."""
        return os.path.join(self.directory, "lock")

    @property
    def running(self) -> str:
        """The Vagrant process that was started last, while it runs."""
        return os.path.join(self.directory, "vagrant.json")

    @property
    def socket(self) -> str:
        """Where the broker listens, 0600."""
        return os.path.join(self.directory, "broker")

    @property
    def broker_lock(self) -> str:
        """Held by whoever starts or ends a broker."""
        return os.path.join(self.directory, "broker.lock")

    @property
    def broker_log(self) -> str:
        """What the last broker wrote to stderr."""
        return os.path.join(self.directory, "broker.log")

    @property
    def log(self) -> str:
        """Everything that Vagrant printed."""
        return os.path.join(self.directory, "vagrant.log")


def machine(name: str) -> MachinePlace:
    """The place of a machine, which need not exist; UsageError for what cannot be a name."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be a machine's name",
            hint="use up to 31 of a-z, 0-9 and -, a letter or digit first",
        )
    return MachinePlace(name, os.path.join(machines_directory(), name))


def machines_directory() -> str:
    """One directory per machine."""
    import platformdirs

    return os.path.join(platformdirs.user_data_dir("devbox", appauthor=False), "machines")


def pool_directory() -> str:
    """The disks of libvirt's session mode, of all machines: libvirt keeps one pool per user."""
    import platformdirs

    return os.path.join(platformdirs.user_data_dir("devbox", appauthor=False), "disks")


def existing() -> list[str]:
    """The names of the machines that have a directory."""
    try:
        with os.scandir(machines_directory()) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and NAME.fullmatch(entry.name))
    except FileNotFoundError:
        return []


def this_host() -> str:
    """What tells this user on this host from others that use the same machine."""
    import socket

    try:
        number = os.stat(machines_directory()).st_ino
    except FileNotFoundError:
        number = 0
    return f"{socket.gethostname()} {number}"


def settings_file() -> str:
    """The user's machines.toml."""
    import platformdirs

    return os.path.join(platformdirs.user_config_dir("devbox", appauthor=False), "machines.toml")
