"""What translate asks of this host's files, really."""

from __future__ import annotations

import os
import stat
import sys

from devbox.errors import UsageError
from devbox.machine.translation import hostpath
from devbox.machine.translation.wish import Kind

_READ_MAX = 4 * 1024 * 1024


class Disk:
    """The files of this host."""

    def real(self, path: str) -> str:
        """An absolute path without links; on macOS in the spelling of the disk, which folds case and accents."""
        return hostpath.absolute(_spelt(os.path.realpath(path)), os.sep, sys.platform)

    def kind(self, path: str) -> Kind:
        """What is there, at the end of all links."""
        try:
            mode = os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return "absent"
        if stat.S_ISDIR(mode):
            return "directory"
        return "file" if stat.S_ISREG(mode) else "other"

    def read(self, path: str) -> bytes:
        """The content of a small file; UsageError when it cannot be read."""
        try:
            with open(path, "rb") as file:
                data = file.read(_READ_MAX + 1)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {os.strerror(error.errno or 0).lower()}") from error
        if len(data) > _READ_MAX:
            raise UsageError(f"{path} is larger than {_READ_MAX >> 20} MiB")
        return data


def _spelt(path: str) -> str:
    """The longest part that exists as the disk spells it, the rest as it is."""
    if sys.platform == "darwin":
        import fcntl

        rest: list[str] = []
        while path != "/":
            try:
                fd = os.open(path, os.O_RDONLY)
            except OSError:
                path, name = os.path.split(path)
                rest.insert(0, name)
                continue
            try:
                path = os.fsdecode(fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
            finally:
                os.close(fd)
            break
        return os.path.join(path, *rest)
    else:  # noqa: RET505
        return path
