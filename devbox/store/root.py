"""Every path of the store, in one place; `docs/internals/files.md` documents each of them."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from typing import NamedTuple

STATE_DEFAULT = "/var/lib/devbox"
RUN_DEFAULT = "/run/devbox"


class Root(NamedTuple):
    """The state directory, which survives a reboot, and the run directory, which need not.

    Ids that become part of a path are our own: 64 hex digits or a row's integer. Names never do, except a
    volume's, whose grammar admits no separator and no leading dot.
    """

    state: str
    run: str

    @classmethod
    def from_environment(cls) -> Root:
        """DEVBOX_ROOT holds both (the run directory below it); without it the FHS places for root."""
        own = os.environ.get("DEVBOX_ROOT")
        if own:
            path = os.path.abspath(own)
            return cls(path, path + "/run")
        return cls(STATE_DEFAULT, RUN_DEFAULT)

    @property
    def database(self) -> str:
        """The SQLite state file."""
        return self.state + "/state.db"

    @property
    def reserve(self) -> str:
        """Room that is kept for a full disk, see `devbox.store.reserve`."""
        return self.state + "/reserve"

    @property
    def blobs(self) -> str:
        """OCI blobs: sha256/<hex>."""
        return self.state + "/blobs"

    @property
    def downloads(self) -> str:
        """Blobs that a registry is sending, or was when its line broke: <hex>."""
        return self.state + "/downloads"

    @property
    def layers(self) -> str:
        """Unpacked layers: <row id>/diff."""
        return self.state + "/layers"

    @property
    def volumes(self) -> str:
        """Volumes: <name>/_data."""
        return self.state + "/volumes"

    @property
    def mirrors(self) -> str:
        """What Unison remembers of directories that are kept as on a host: one for each of the host's mirrors."""
        return self.state + "/mirrors"

    @property
    def caches(self) -> str:
        """Directories of RUN --mount=type=cache: <row id>/data."""
        return self.state + "/caches"

    @property
    def containers(self) -> str:
        """A directory for each container, by id."""
        return self.state + "/containers"

    @property
    def scratch(self) -> str:
        """Half-done work, one directory each, see `devbox.store.scratch`."""
        return self.state + "/tmp"

    @property
    def locks(self) -> str:
        """Files to flock(2); their content means nothing."""
        return self.run + "/locks"

    @property
    def hosts(self) -> str:
        """Where a published port is asked for when this is a machine: <pid>, a socket of an agent each."""
        return self.run + "/hosts"

    @property
    def crun(self) -> str:
        """The OCI runtime's own state."""
        return self.run + "/runtime"

    def container(self, container_id: str) -> str:
        """What a container keeps: diff, work, hosts, hostname, resolv.conf, log."""
        return f"{self.containers}/{container_id}"

    def bundle(self, container_id: str) -> str:
        """What a running container has: config.json, rootfs (mount point), sockets, pid and exit files."""
        return f"{self.run}/containers/{container_id}"
