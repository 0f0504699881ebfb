"""`import`: a root file system, as a tar stream or a directory, becomes an image of one layer."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from devbox.errors import RefusedError, UsageError
from devbox.image import changes, config, layers, make
from devbox.image.archive import opened_file
from devbox.image.decompress import MAGIC_LENGTH, decompressed, kind_of
from devbox.image.feed import fed
from devbox.image.tar.limits import Limits
from devbox.image.tar.pack import pack
from devbox.image.tar.source import Slice, Source
from devbox.image.tar.unpack import extract
from devbox.model.image import Image
from devbox.model.reference import parse_tagged
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system.files import write_all
from devbox.system.walk import open_root, opened


class Wish(NamedTuple):
    """What was asked for beside the file system."""

    name: str = ""
    """NAME[:TAG], empty for none"""
    changes: tuple[str, ...] = ()
    message: str = ""
    platform: str = ""


def import_(store: Store, path: str, wish: Wish) -> Image:
    """Import the archive or directory at `path`, "" for stdin; nothing is made unless all of it is good."""
    if "://" in path:
        raise UsageError(
            f"cannot import {path}: nothing is downloaded", hint="curl -fL URL | devbox import - NAME"
        )
    settings: Mapping[str, Any] = changes.apply({}, wish.changes)["config"]
    platform = config.platform_of(wish.platform) if wish.platform else ("", "")
    if wish.name:
        parse_tagged(wish.name)
    with scratch(store.root, "import") as place:
        os.makedirs(place + "/layer/diff")
        os.chmod(place + "/layer/diff", 0o755)
        with opened(open_root(place + "/layer/diff")) as tree:
            if path and os.path.isdir(path):
                _copy(path, tree)
            else:
                _unpack(path, place, tree)
        origin = make.Origin(
            "import",
            "",
            comment=wish.message or f"Imported from {path or '-'}",
            created=time.time(),
            platform=platform,
        )
        names = (wish.name,) if wish.name else ()
        return make.record(store, layers.measure(place + "/layer"), settings, names=names, origin=origin)


def _copy(path: str, tree: int) -> None:
    """Pack the directory into the tree, so that it is read and written by the rules of archives."""
    with opened(open_root(path)) as source:

        def produce(sink: int) -> None:
            pack(source, lambda data: write_all(sink, data))

        with fed(produce) as stream:
            extract(Source(stream, limit=Limits().size), tree)


def _unpack(path: str, place: str, tree: int) -> None:
    with opened_file(path, place) as fd:
        size = os.fstat(fd).st_size
        if not size:
            raise RefusedError("the archive is empty")
        limits = Limits().for_input(size)
        kind = kind_of(os.pread(fd, MAGIC_LENGTH, 0))
        if not kind:
            extract(Slice(fd, 0, size, limit=limits.size), tree, limits=limits)
            return
        with decompressed(Slice(fd, 0, size), kind) as stream:
            extract(Source(stream, limit=limits.size), tree, limits=limits)
