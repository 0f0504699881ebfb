"""gzip, zstd, xz and bzip2 streams as a descriptor of plain bytes."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import zlib
from collections.abc import Callable, Iterator

from devbox.errors import RefusedError
from devbox.image.feed import fed
from devbox.image.tar.source import CHUNK, Source
from devbox.system import process
from devbox.system.files import write_all
from devbox.system.walk import opened

_MAGIC = {
    "gzip": b"\x1f\x8b",
    "zstd": b"\x28\xb5\x2f\xfd",
    "xz": b"\xfd7zXZ\x00",
    "bzip2": b"BZh",
}
MAGIC_LENGTH = 6
_GZIP_WINDOW = 31
_PROGRAMS = {
    "gzip": ("igzip", "-dcq"),
    "zstd": ("zstd", "-dcq", "--memory=128MB"),
    "xz": ("xz", "-dcqq", "--memlimit=100MiB"),
    "bzip2": ("bzip2", "-dcq"),
}


def kind_of(head: bytes) -> str:
    """How a stream is compressed, told by its first bytes; "" when it is not."""
    return next((kind for kind, magic in _MAGIC.items() if head.startswith(magic)), "")


@contextlib.contextmanager
def decompressed(source: Source, kind: str, *, fast: bool = False) -> Iterator[int]:
    """A descriptor that gives the plain bytes of a compressed source, which is read to its end.

    `fast` is for bytes whose digest is known: igzip takes a third of zlib's time, and garbage after the end.
    Raises RefusedError at the end of the block for data that is damaged: nothing that was read counts before.
    """

    def produce(sink: int) -> None:
        if kind == "gzip" and not (fast and process.path_of("igzip")):
            _inflate(source, sink)
        else:
            _through(kind, source, sink)
        source.drain()

    with fed(produce) as stream:
        yield stream


def copy(source: Source, write: Callable[[memoryview], object]) -> None:
    """Pass everything on that is left of a source."""
    while data := source.some(CHUNK):
        write(data)


def _inflate(source: Source, sink: int) -> None:
    """Members of a gzip file one after the other; zeros after the last are padding."""
    data = b""
    while data or not source.at_end():
        try:
            data = _member(source, sink, data)
        except zlib.error as error:
            raise RefusedError(f"the gzip data of the archive is damaged: {error}") from error
        if data and not data.strip(b"\0"):
            return


def _member(source: Source, sink: int, data: bytes) -> bytes:
    """Write one member, and return what was read of the next."""
    stream = zlib.decompressobj(_GZIP_WINDOW)
    while not stream.eof:
        if not data:
            data = bytes(source.some(CHUNK))
            if not data:
                raise zlib.error("it ends early")
        write_all(sink, stream.decompress(data, CHUNK))
        data = stream.unconsumed_tail
    return stream.unused_data


def _through(kind: str, source: Source, sink: int) -> None:
    with opened(os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)) as null:
        try:
            with process.feeding(_PROGRAMS[kind], (1, sink), (2, null)) as feed:
                copy(source, lambda data: write_all(feed, data))
        except process.ProcessError as error:
            if error.status > 0:  # else nobody reads what it writes any more
                raise RefusedError(f"the {kind} data of the archive is damaged (status {error.status})") from error
