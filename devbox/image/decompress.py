"""gzip, zstd, xz and bzip2 streams as a descriptor of plain bytes, fed by a thread beside whoever reads it."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import fcntl
import os
import threading
import zlib
from collections.abc import Callable, Iterator

from devbox.errors import DevboxError, RefusedError
from devbox.image.source import CHUNK, Source
from devbox.system import process
from devbox.system.files import write_all

_MAGIC = {
    "gzip": b"\x1f\x8b",
    "zstd": b"\x28\xb5\x2f\xfd",
    "xz": b"\xfd7zXZ\x00",
    "bzip2": b"BZh",
}
MAGIC_LENGTH = 6
_GZIP_WINDOW = 31
_ZSTD_MEMORY_MIB = 128
_PROGRAMS = {
    "zstd": ("zstd", "-dcq", f"--memory={_ZSTD_MEMORY_MIB}MB"),
    "xz": ("xz", "-dcqq", "--memlimit=100MiB"),
    "bzip2": ("bzip2", "-dcq"),
}


def kind_of(head: bytes) -> str:
    """How a stream is compressed, told by its first bytes; "" when it is not."""
    return next((kind for kind, magic in _MAGIC.items() if head.startswith(magic)), "")


@contextlib.contextmanager
def decompressed(source: Source, kind: str) -> Iterator[int]:
    """A descriptor that gives the plain bytes of a compressed source, which is read to its end.

    Raises RefusedError at the end of the block for data that is damaged: nothing that was read counts before.
    """
    output, sink = os.pipe()
    fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, CHUNK)
    feeder = _Feeder(source, kind, sink)
    feeder.start()
    failed: BaseException | None = None
    try:
        yield output
    except DevboxError as error:
        failed = error
    finally:
        os.close(output)
        feeder.join()
    if feeder.error is not None:
        raise feeder.error from failed
    if failed is not None:
        raise failed


class _Feeder(threading.Thread):
    """Ends when the source does, or when nobody reads any more."""

    def __init__(self, source: Source, kind: str, sink: int) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._kind = kind
        self._sink = sink
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            if self._kind == "gzip":
                self._inflate()
            else:
                self._through(_PROGRAMS[self._kind])
            self._source.drain()
        except BrokenPipeError:
            pass  # the reader has its own reason to stop
        except (DevboxError, OSError) as error:
            self.error = error
        except zlib.error as error:
            self.error = _damaged(self._kind, str(error))
        finally:
            if self._sink >= 0:
                os.close(self._sink)

    def _inflate(self) -> None:
        """Members of a gzip file one after the other; zeros after the last are padding."""
        while not self._source.at_end():
            data = self._member(zlib.decompressobj(_GZIP_WINDOW), b"")
            while data:
                if not data.strip(b"\0"):
                    break
                data = self._member(zlib.decompressobj(_GZIP_WINDOW), data)

    def _member(self, stream: zlib._Decompress, data: bytes) -> bytes:
        """Write one member, and return what was read of the next."""
        while not stream.eof:
            if not data:
                data = bytes(self._source.some(CHUNK))
                if not data:
                    raise zlib.error("it ends early")
            write_all(self._sink, stream.decompress(data, CHUNK))
            data = stream.unconsumed_tail
        return stream.unused_data

    def _through(self, argv: tuple[str, ...]) -> None:
        entry, feed = os.pipe()
        null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
        try:
            pid = process.spawn(argv, files=((0, entry), (1, self._sink), (2, null)))
        except BaseException:
            os.close(feed)
            raise
        finally:
            for fd in (entry, self._sink, null):
                os.close(fd)
            self._sink = -1
        try:
            copy(self._source, lambda data: write_all(feed, data))
        finally:
            os.close(feed)
            status = process.wait(pid)
        if status > 0:
            raise _damaged(self._kind, f"{argv[0]} ended with status {status}")


def copy(source: Source, write: Callable[[memoryview], object]) -> None:
    """Pass everything on that is left of a source."""
    while data := source.some(CHUNK):
        write(data)


def _damaged(kind: str, why: str) -> RefusedError:
    return RefusedError(f"the {kind} data of the archive is damaged: {why}")
