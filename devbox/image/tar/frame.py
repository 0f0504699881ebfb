"""A tar stream without the contents of its files: with the tree beside it, the stream can be written again.

A stream from outside cannot be told from its tree: headers come in many dialects and any order, and the digest of
the stream is part of the image's identity. A frame keeps the bytes of headers and padding, compressed (about
40 bytes an entry), and for each file's content only where in the tree it lies.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import struct
import zlib
from collections.abc import Iterator
from types import TracebackType

from devbox.errors import StoreError
from devbox.image.tar.pack import Sink
from devbox.system.files import write_all
from devbox.system.walk import open_beneath, opened

_RECORD = struct.Struct("<BIQQ")
"""kind, bytes of raw data or of the path that follow, offset and size of the content"""
_RAW, _CONTENT = 0, 1
_CHUNK = 1 << 18


class Writer:
    """Records a stream into a new file while it is unpacked; a context manager."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._squeeze = zlib.compressobj(1)
        self._pending = bytearray()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
                write_all(self._fd, self._squeeze.flush())
        finally:
            os.close(self._fd)

    def raw(self, data: bytes | memoryview) -> None:
        """Bytes that no file has."""
        self._pending += data
        if len(self._pending) >= _CHUNK:
            self._flush()

    def content(self, path: bytes, offset: int, size: int) -> None:
        """Bytes that the file at `path` has from `offset` on."""
        self._flush()
        self._put(_RECORD.pack(_CONTENT, len(path), offset, size) + path)

    def _flush(self) -> None:
        if self._pending:
            self._put(_RECORD.pack(_RAW, len(self._pending), 0, 0) + self._pending)
            self._pending.clear()

    def _put(self, data: bytes) -> None:
        write_all(self._fd, self._squeeze.compress(data))


def replay(path: str, tree: int, write: Sink) -> None:
    """Write the recorded stream with contents from the directory `tree`; StoreError when something is gone."""
    for kind, data, offset, size in _records(path):
        if kind == _RAW:
            write(data)
        else:
            _content(tree, data, offset, size, write)


def length(path: str) -> int:
    """How many bytes `replay` writes; StoreError for a damaged frame."""
    return sum(len(data) if kind == _RAW else size for kind, data, _, size in _records(path))


def _records(path: str) -> Iterator[tuple[int, bytes, int, int]]:
    with opened(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) as fd:
        stream = _Inflated(fd)
        try:
            while head := stream.read(_RECORD.size):
                kind, length, offset, size = _RECORD.unpack(head)
                yield kind, stream.read(length), offset, size
        except (zlib.error, struct.error) as error:
            raise StoreError(f"{path} is damaged", hint="run 'devbox check --repair'") from error


class _Inflated:
    """Reads a zlib stream in pieces of exact size; shorter only at its end."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._stretch = zlib.decompressobj()
        self._buffer = memoryview(b"")

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size and not self._stretch.eof:
            data = self._stretch.unconsumed_tail or os.read(self._fd, _CHUNK)
            more = self._stretch.decompress(data, _CHUNK)
            if not data and not more:
                raise zlib.error("the stream ends early")
            self._buffer = memoryview(bytes(self._buffer) + more)
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return bytes(taken)


def _content(tree: int, path: bytes, offset: int, size: int, write: Sink) -> None:
    try:
        fd = open_beneath(tree, path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise _gone(path) from error
    with opened(fd):
        while size:
            data = os.pread(fd, min(size, _CHUNK), offset)
            if not data:
                raise _gone(path)
            write(data)
            offset += len(data)
            size -= len(data)


def _gone(path: bytes) -> StoreError:
    return StoreError(
        f"a layer has lost its file {os.fsdecode(path)!r}", hint="run 'devbox check', and load the image again"
    )
