"""Blobs on their way from a registry: what has come stays for the next pull when the line breaks."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import fcntl
import os
import time
from types import TracebackType

from devbox.errors import RegistryError
from devbox.registry.repository import Blob
from devbox.store.root import Root

_KEPT_SECONDS = 24 * 3600


class Downloads:
    """The blobs of one pull, a file each that nobody else takes; a context manager that deletes them at its end.

    Where the end is that of the line, or of the user's patience, they are left: whoever wants them next goes on.
    """

    def __init__(self, root: Root) -> None:
        self._place = root.downloads
        self._taken: dict[str, int] = {}
        """descriptors, which hold the locks, by path"""

    def __enter__(self) -> Downloads:
        os.makedirs(self._place, mode=0o700, exist_ok=True)
        sweep(self._place, _KEPT_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = isinstance(error, RegistryError) or (kind is not None and not issubclass(kind, Exception))
        for path, fd in self._taken.items():
            if not left or _is_spare(path):
                _unlink(path)
            os.close(fd)

    def take(self, blob: Blob) -> tuple[str, int]:
        """The file of a blob, which may have the beginning of it; its descriptor stays ours."""
        path = f"{self._place}/{blob.digest.removeprefix('sha256:')}"
        fd = _locked(path)
        if fd is None:  # another pull fetches the same bytes for another layer
            path += f".{os.urandom(8).hex()}"
            fd = _locked(path)
            assert fd is not None
        self._taken[path] = fd
        return path, fd


def _is_spare(path: str) -> bool:
    return "." in os.path.basename(path)


def _locked(path: str) -> int | None:
    """The descriptor of a file that is ours alone, made when it is missing; None when another has it."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(path) and os.stat(path).st_ino == os.fstat(fd).st_ino:
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        os.close(fd)  # it was deleted between the two calls


def sweep(place: str, seconds: float = 0) -> None:
    """Delete what nobody fetches and has not grown for so long."""
    if not os.path.isdir(place):
        return
    for name in os.listdir(place):
        path = f"{place}/{name}"
        with contextlib.suppress(FileNotFoundError):
            if _is_spare(path) or time.time() - os.stat(path).st_mtime >= seconds:
                _discard(path)


def _discard(path: str) -> None:
    fd = _locked(path)
    if fd is not None:
        _unlink(path)
        os.close(fd)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
