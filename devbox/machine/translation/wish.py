"""What must be known of the host to translate a command for a machine, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

from devbox.errors import RefusedError
from devbox.machine.translation.mountmap import MountMap, Share
from devbox.model.invocation import Invocation

Kind = Literal["absent", "file", "directory", "other"]


class HostFiles(Protocol):
    """The files of this host; a fake in tests."""

    def real(self, path: str) -> str:
        """An absolute path without links, in its true spelling; names at its end may not exist."""

    def kind(self, path: str) -> Kind:
        """What is there."""

    def read(self, path: str) -> bytes:
        """The content of a small file."""


class Wish(NamedTuple):
    """Where a command comes from and where it goes."""

    mapping: MountMap
    cwd: str
    environ: Mapping[str, str]
    files: HostFiles
    machine: str = ""
    """its name, for messages"""
    settings: str = ""
    """the file that a refusal names"""
    scratch: str = ""
    """a directory of the machine for what is sent and fetched, the command's own"""
    host: str = ""
    """what tells this host from others that use the same machine"""


class Sent(NamedTuple):
    """A file or tree that has to be in the machine before the command runs."""

    host: str
    guest: str
    what: str
    """the option or argument that names it, for messages"""
    follow: bool = False
    """a link is sent as what it leads to"""
    without: tuple[str, ...] = ()
    """patterns of .dockerignore: what they leave out is not sent"""


class Fetched(NamedTuple):
    """A file or tree that the command leaves in the machine and that belongs here."""

    guest: str
    host: str
    what: str
    prepare: Kind
    """what must be at the guest's path before, because the command behaves accordingly: it is here, too"""


class Translated(NamedTuple):
    """The command for the machine, and what has to be carried with it."""

    invocation: Invocation
    cwd: str
    """in the machine; "/" when the caller's directory is in no share"""
    send: tuple[Sent, ...] = ()
    fetch: tuple[Fetched, ...] = ()
    stdin: str = ""
    """a file of this host that is the command's standard input"""
    stdout: str = ""
    """a file of this host that gets what the command prints, when it was successful"""
    agents: Mapping[str, str] = {}
    """sockets of SSH agents of this host that the command may use, by their path there"""


class NotSharedError(RefusedError):
    """A bind mount of what the machine does not see; it would be an empty directory there."""

    def __init__(self, message: str, hint: str, shares: tuple[Share, ...]) -> None:
        super().__init__(message, hint=hint)
        self.shares = shares
        """the machine's shares with the one that is missing"""
