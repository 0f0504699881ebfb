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


class Recorder(Protocol):
    """Told of every byte that is taken, in order: as it is, or as the place it was copied to."""

    def raw(self, data: bytes | memoryview) -> None:
        """Bytes that no file has."""

    def content(self, path: bytes, offset: int, size: int) -> None:
        """Bytes that the file at `path` has from `offset` on."""


class Source:
    """Reads a descriptor to which it does not belong; the hash covers every byte that was taken from it.

    Raises RefusedError when the stream ends too early or goes over `limit` bytes.
    """

    def __init__(
        self, fd: int, *, limit: int, hasher: Hasher | None = None, recorder: Recorder | None = None
    ) -> None:
        self._fd = fd
        self._limit = limit
        self._hasher = hasher
        self._recorder = recorder
        self._buffer = memoryview(b"")
        self._taken = 0

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        if size <= len(self._buffer):
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            if self._recorder is not None:
                self._recorder.raw(data)
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
        data = self._take(size)
        if self._recorder is not None:
            self._recorder.raw(data)
        return data

    def _take(self, size: int) -> memoryview:
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

    def copy(self, size: int, fd: int, *, path: bytes, offset: int = 0) -> None:
        """Write exactly `size` bytes of the stream to `fd`, which is at `offset` of the file `path`."""
        if self._recorder is not None and size:
            self._recorder.content(path, offset, size)
        while size:
            part = self._take(size)
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
            self.some(len(self._buffer))

    def charge(self, size: int) -> None:
        """Count `size` bytes that the archive claims without holding them."""
        self._taken += size
        self._check(self._taken)

    def expect(self, size: int) -> None:
        """Refuse a stream that goes over its limit with the next `size` bytes, before any of them is written."""
        self._check(self._taken - len(self._buffer) + size)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise RefusedError(
                f"the archive unpacks to more than {self._limit} bytes",
                hint="it is a decompression bomb, or too large for devbox",
            )

    def _fill(self) -> None:
        data = self._next()
        self.charge(len(data))
        if self._hasher is not None:
            self._hasher.update(data)
        self._buffer = memoryview(data)

    def _next(self) -> bytes:
        return os.read(self._fd, CHUNK)


class Slice(Source):
    """A part of a file; its descriptor's own position does not matter and stays as it is.

    Only what is charged besides, the holes of sparse files, can go over `limit`.
    """

    def __init__(
        self,
        fd: int,
        offset: int,
        size: int,
        *,
        limit: int = 0,
        hasher: Hasher | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        super().__init__(fd, limit=max(limit, size), hasher=hasher, recorder=recorder)
        self._offset = offset
        self._end = offset + size

    def _next(self) -> bytes:
        data = os.pread(self._fd, min(CHUNK, self._end - self._offset), self._offset)
        self._offset += len(data)
        return data
