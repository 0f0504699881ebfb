"""What must be known of the host to translate a command for a machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

from devbox.machine.mountmap import MountMap

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
