"""The files of a finished stage, written where the user wants them."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
from collections.abc import Iterator, Sequence

from devbox.build.executing.overlay import mount_layers
from devbox.container.files.streaming import UNBOUNDED, stream
from devbox.errors import NotFoundError, RefusedError
from devbox.image.tar.pack import Choice, Sink, pack
from devbox.image.tar.source import Source
from devbox.image.tar.unpack import Policy, extract
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system.namespaces import private_mounts
from devbox.system.walk import open_root, opened

_CHOICE = Choice(whiteouts=False)
_POLICY = Policy(whiteouts=False, devices=False)


def to_directory(store: Store, layers: Sequence[int], path: str) -> None:
    """Write the files below a directory, which is made when it is missing; what is there else stays.

    Raises RefusedError for a device: on the host it would be one.
    """
    try:
        os.makedirs(path, exist_ok=True)
        target = open_root(path)
    except OSError as error:
        raise NotFoundError(f"cannot write to {path}: {os.strerror(error.errno or 0).lower()}") from error
    try:
        with opened(target), _tree(store, layers) as tree:
            stream(
                lambda write: pack(tree, write, choice=_CHOICE),
                lambda reader: extract(
                    Source(reader, limit=UNBOUNDED.size), target, limits=UNBOUNDED, policy=_POLICY
                ),
            )
    except RefusedError as error:
        hint = "an archive takes all that an image has: --output type=tar,dest=FILE"
        raise RefusedError(error.message, hint=error.hint or hint) from error


def to_tar(store: Store, layers: Sequence[int], write: Sink) -> None:
    """Write the files as a tar stream."""
    with _tree(store, layers) as tree:
        pack(tree, write, choice=_CHOICE)


@contextlib.contextmanager
def _tree(store: Store, layers: Sequence[int]) -> Iterator[int]:
    """A descriptor of the files that layers make together; the block is in a private mount namespace."""
    with (
        scratch(store.root, "output") as place,
        private_mounts(),
        opened(open_root(mount_layers(store, layers, place))) as tree,
    ):
        yield tree
