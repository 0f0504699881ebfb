"""A stream of bytes that is counted, bounded and hashed while it is read."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from typing import Protocol

from devbox.errors import RefusedError

CHUNK = 1 << 20


class Hasher(Protocol):
    """What of hashlib's objects is used here."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes in."""

    def hexdigest(self) -> str:
        """The digest of all bytes so far."""


class Source:
    """Reads a descriptor to which it does not belong; the hash covers every byte that was taken from it.

    Raises RefusedError when the stream ends too early or goes over `limit` bytes.
    """

    def __init__(self, fd: int, *, limit: int, hasher: Hasher | None = None) -> None:
        self._fd = fd
        self._limit = limit
        self._hasher = hasher
        self._buffer = memoryview(b"")
        self._taken = 0

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        if size <= len(self._buffer):
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            return bytes(data)
        parts = []
        while size:
            part = self.some(size)
            if not part:
                raise RefusedError("the archive ends in the middle of an entry")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def some(self, size: int) -> memoryview:
        """At least one and at most `size` bytes; none at the end of the stream."""
        if not self._buffer:
            self._fill()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def skip(self, size: int) -> None:
        """Pass over exactly `size` bytes."""
        while size:
            part = self.some(size)
            if not part:
                raise RefusedError("the archive ends in the middle of an entry")
            size -= len(part)

    def copy(self, size: int, fd: int) -> None:
        """Write exactly `size` bytes of the stream to `fd`."""
        while size:
            part = self.some(size)
            if not part:
                raise RefusedError("the archive ends in the middle of an entry")
            size -= len(part)
            while part:
                part = part[os.write(fd, part) :]

    def at_end(self) -> bool:
        """Whether nothing is left."""
        if not self._buffer:
            self._fill()
        return not self._buffer

    def drain(self) -> None:
        """Read what is left, for its hash and its size."""
        while not self.at_end():
            self._buffer = memoryview(b"")

    def charge(self, size: int) -> None:
        """Count `size` bytes that the archive claims without holding them."""
        self._taken += size
        if self._taken > self._limit:
            raise RefusedError(
                f"the archive unpacks to more than {self._limit} bytes",
                hint="it is a decompression bomb, or too large for devbox",
            )

    def _fill(self) -> None:
        data = os.read(self._fd, CHUNK)
        self.charge(len(data))
        if self._hasher is not None:
            self._hasher.update(data)
        self._buffer = memoryview(data)
