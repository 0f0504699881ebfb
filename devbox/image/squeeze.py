"""A layer's stream compressed on its way out, its digests taken as it passes."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator

from devbox.errors import StoreError, UsageError
from devbox.image import layers
from devbox.image.feed import fed
from devbox.image.tar.source import CHUNK
from devbox.store.database import Store
from devbox.system import process
from devbox.system.files import write_all

_PROGRAMS = {
    # the first that is installed; each writes the same bytes for the same layer, whenever it runs
    "gzip": (("igzip", "-ncq"), ("pigz", "-nc"), ("gzip", "-nc")),
    "zstd": (("zstd", "-3", "-cq", "-T0"),),
}
METHODS = tuple(_PROGRAMS)


class Squeezed:
    """The compressed stream of a layer, checked against its diff_id; `digest` and `size` are known at its end."""

    def __init__(self, store: Store, layer_id: int, diff_id: str, method: str) -> None:
        self._store = store
        self._layer_id = layer_id
        self._diff_id = diff_id
        self._argv = _program(method)
        self.digest = ""
        self.size = 0

    def pieces(self) -> Iterator[bytes]:
        """The stream, made anew each time; StoreError when the layer was altered on disk."""
        hasher = hashlib.sha256()
        size = 0
        with fed(self._produce) as plain, self._through(plain) as output:
            while data := os.read(output, CHUNK):
                hasher.update(data)
                size += len(data)
                yield data
        self.digest, self.size = "sha256:" + hasher.hexdigest(), size

    def _produce(self, sink: int) -> None:
        hasher = hashlib.sha256()

        def both(data: bytes) -> None:
            hasher.update(data)
            write_all(sink, data)

        layers.write_tar(self._store, self._layer_id, both)
        if "sha256:" + hasher.hexdigest() != self._diff_id:
            raise StoreError(
                f"layer {self._layer_id} was altered on disk: it is not {self._diff_id} any more",
                hint="'devbox check' lists what is damaged; load or pull the image again",
            )

    @contextlib.contextmanager
    def _through(self, plain: int) -> Iterator[int]:
        """What the compressor makes of the descriptor `plain`."""
        output, sink = os.pipe()
        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, CHUNK)
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, output)
            try:
                pid = process.spawn(self._argv, files=((0, plain), (1, sink)))
            finally:
                os.close(sink)
            try:
                yield output
            finally:
                stack.close()  # now, so that it does not write for ever
                status = process.wait(pid)
        if status:
            raise StoreError(f"{self._argv[0]} could not compress a layer: it ended with status {status}")


def _program(method: str) -> tuple[str, ...]:
    if method not in _PROGRAMS:
        raise UsageError(f"unknown compression {method!r}", hint=f"use {' or '.join(METHODS)}")
    return process.first_of(*_PROGRAMS[method])
