"""What every way of having a machine offers, and the values that come back from it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol


class State(Enum):
    """What a machine is doing."""

    ABSENT = "absent"
    """it was never made, or was destroyed"""
    RUNNING = "running"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
    UNKNOWN = "unknown"
    """its provider says something else, or cannot be asked"""


class Status(NamedTuple):
    """A machine as its driver sees it now."""

    name: str
    state: State
    driver: str
    """vagrant or ssh"""
    provider: str = ""
    """what runs the virtual machine: libvirt, virtualbox; "" when there is none"""
    detail: str = ""
    """the provider's own word for the state, or why it could not be asked"""


class Endpoint(NamedTuple):
    """Where a machine's SSH server listens, and how to tell that it is the right one."""

    host: str
    port: int
    user: str
    key: str = ""
    """path of the private key; "" leaves it to the caller's agent and default keys"""
    host_key: str = ""
    """the pinned key as in known_hosts, "ssh-ed25519 AAAA..."; "" until the machine is provisioned"""


class Capabilities(NamedTuple):
    """What a driver can do beyond naming an endpoint; the rest is refused with a reason."""

    power: bool = False
    """up makes and starts it; halt, restart and destroy work"""
    suspend: bool = False
    snapshots: bool = False


class Progress(NamedTuple):
    """One step of a long operation: a phase begins, or the one that runs has something to say."""

    phase: str
    text: str = ""


Report = Callable[[Progress], None]


class Driver(Protocol):
    """A machine. Each method returns when what it says is true, and does nothing when it is true already."""

    @property
    def name(self) -> str:
        """The name that the user gave it."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""

    def up(self, report: Report) -> Endpoint:
        """Make it if need be, start it, and wait until its SSH server answers."""

    def halt(self, report: Report) -> None:
        """Shut it down."""

    def suspend(self, report: Report) -> None:
        """Keep its memory on disk and stop it."""

    def resume(self, report: Report) -> None:
        """Go on from where it was suspended."""

    def destroy(self, report: Report) -> None:
        """Delete it with its disk; no file of the host goes."""

    def status(self) -> Status:
        """Ask the provider, which may take seconds."""

    def endpoint(self, *, refresh: bool = False) -> Endpoint:
        """The address as it was last seen; `refresh` asks the provider, after connecting has failed."""

    def snapshot_save(self, name: str) -> None:
        """Keep its present state under a name."""

    def snapshot_restore(self, name: str) -> None:
        """Go back to a kept state."""

    def snapshot_list(self) -> tuple[str, ...]:
        """The names of what is kept."""

    def snapshot_delete(self, name: str) -> None:
        """Drop a kept state."""
