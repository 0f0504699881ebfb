"""The one error family.

Every failure that a user can meet is a `DevboxError`: one sentence (lower case, no full stop) that says
what is wrong, an optional hint that says what to do, and the exit code of the command.

    DevboxError                 125  devbox could not do what was asked
    ├── UsageError              125  the command line, or a value in it, is malformed
    ├── NotFoundError           125  no such image, container, network, volume, file
    ├── ConflictError           125  a name, port, address or lock is taken, or the object is in use
    ├── StateError              125  the object is not in a state that allows this
    ├── RefusedError            125  hostile or broken input: image, archive, path
    ├── StoreError              125  the store is damaged, full, read-only or newer than this devbox
    ├── HostError               125  this machine lacks something: root, kernel feature, program
    ├── RegistryError           125  a registry cannot be reached, or does not let us
    ├── ContainerRuntimeError   125  the OCI runtime or its monitor failed
    ├── ConnectionLostError     125  the connection to a machine broke while a command ran there
    ├── MachineGoneError        125  a machine does not answer any more: frozen, killed, switched off
    ├── NotExecutableError      126  the container's command cannot be executed
    └── CommandNotFoundError    127  the container's command does not exist
"""

from __future__ import annotations


class DevboxError(Exception):
    """What went wrong in one sentence, and what to do about it."""

    exit_code = 125

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(DevboxError):
    """The command line, or a value in it, is malformed."""


class NotFoundError(DevboxError):
    """Nothing by that name, id or reference."""


class ConflictError(DevboxError):
    """A name, port, address or lock is taken, or the object is in use."""


class StateError(DevboxError):
    """The object is not in a state that allows this."""


class RefusedError(DevboxError):
    """Input that devbox will not touch: hostile, broken or over a limit."""


class StoreError(DevboxError):
    """The store is damaged, full, read-only, or written by a newer devbox."""


class HostError(DevboxError):
    """This machine lacks something devbox needs."""


class RegistryError(DevboxError):
    """A registry cannot be reached, fails, or does not let us."""


class ContainerRuntimeError(DevboxError):
    """The OCI runtime or its monitor failed."""


class ConnectionLostError(DevboxError):
    """The connection to a machine broke while a command ran there; nobody knows how that ended."""


class MachineGoneError(DevboxError):
    """A machine does not answer any more: it is frozen, killed or switched off."""


class NotExecutableError(DevboxError):
    """The container's command exists but cannot be executed."""

    exit_code = 126


class CommandNotFoundError(DevboxError):
    """The container's command does not exist."""

    exit_code = 127
