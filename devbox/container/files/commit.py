"""An image made of a container: its image's layers, its own changes as one more, and how it was to be run."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from devbox.container import life, locks, records
from devbox.container.files import diff
from devbox.container.files.streaming import UNBOUNDED, stream
from devbox.container.running import is_running
from devbox.image import catalog, layers
from devbox.image import changes as instructions
from devbox.image import config as documents
from devbox.image.tar.pack import pack
from devbox.image.tar.source import Source
from devbox.image.tar.unpack import extract
from devbox.model.container import Container, ContainerConfig, HealthCheck
from devbox.model.image import HistoryEntry, Image
from devbox.model.reference import parse_tagged
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system.walk import open_root, opened, remove_at

_NANOSECONDS = 1_000_000_000


class Wish(NamedTuple):
    """What the image is to be."""

    name: str = ""
    """a tag; empty: the image gets none"""
    author: str = ""
    message: str = ""
    changes: Sequence[str] = ()
    """Dockerfile instructions"""
    pause: bool = True
    """a running container is paused while its files are copied"""


def commit(store: Store, container_id: str, wish: Wish) -> Image:
    """Make an image of a container; its volumes are no part of it.

    Raises UsageError for a malformed name or instruction before anything is done.
    """
    if wish.name:
        parse_tagged(wish.name)
    container = records.by_id(store, container_id)
    document = _document(store, container, wish)
    with scratch(store.root, "commit") as place:
        layer_id = _layer(store, container, place + "/diff", pause=wish.pause)
        image = catalog.by_id(store, container.image_id)
        layer_ids = list(image.layers)
        if layer_id is not None:
            layer_ids.append(layer_id)
            document["rootfs"]["diff_ids"].append(layers.diff_id(store, layer_id))
        else:
            document["history"][-1]["empty_layer"] = True
        names = [wish.name] if wish.name else []
        return catalog.add(store, documents.write(document), layer_ids, names=names, reason="commit")


def _layer(store: Store, container: Container, place: str, *, pause: bool) -> int | None:
    """A layer of what the container changed; None when it changed nothing."""
    os.mkdir(place, 0o755)
    with (
        opened(open_root(store.root.container(container.id) + "/diff")) as upper,
        opened(open_root(place)) as copy,
    ):
        with _still(store, container, pause=pause):
            stream(
                lambda write: pack(upper, write),
                lambda reader: extract(Source(reader, limit=UNBOUNDED.size), copy, limits=UNBOUNDED),
            )
        with diff.lower_tree(store, container.image_id) as lower:
            found = diff.compare(copy, lower)
        _remove_surplus(copy, found.surplus)
        if not found.changes:
            return None
    return layers.adopt(store, place)


@contextlib.contextmanager
def _still(store: Store, container: Container, *, pause: bool) -> Iterator[None]:
    """Nothing in the container changes during the block, as far as that is asked for."""
    if not is_running(container):
        with locks.operation(store.root, container.id):
            yield
    elif pause and container.status != "paused":
        life.pause(store, container.id)
        try:
            yield
        finally:
            life.unpause(store, container.id)
    else:
        yield


def _remove_surplus(root: int, paths: Sequence[bytes]) -> None:
    for path in paths:
        parent, name = os.path.split(path)
        with opened(os.open(parent or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)) as fd:
            if not _is_full_directory(fd, name):
                remove_at(fd, name)


def _is_full_directory(parent: int, name: bytes) -> bool:
    """A directory that has something in it is needed for that, though it did not change itself."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except NotADirectoryError:
        return False
    with opened(fd):
        return bool(os.listdir(fd))


def _document(store: Store, container: Container, wish: Wish) -> dict[str, Any]:
    now = documents.format_time(time.time())
    document: dict[str, Any] = json.loads(catalog.document(store, container.image_id))
    for name in ("container", "container_config", "author", "comment", "id", "parent"):
        document.pop(name, None)
    document["created"] = now
    document["config"] = _config(document.get("config") or {}, container)
    document["history"] = [*(document.get("history") or ()), _history(container, wish, now)]
    if wish.author:
        document["author"] = wish.author
    if wish.message:
        document["comment"] = wish.message
    return instructions.apply(document, wish.changes)


def _history(container: Container, wish: Wish, now: str) -> dict[str, Any]:
    words = (*container.config.entrypoint, *container.config.command)
    return documents.write_history(HistoryEntry(now, " ".join(words), wish.message, wish.author))


def _config(before: Mapping[str, Any], container: Container) -> dict[str, Any]:
    """The image's `config` object with what the container was asked to be on top."""
    wanted = container.config
    config = {key: value for key, value in before.items() if key != "OnBuild"}
    config |= {
        "Entrypoint": list(wanted.entrypoint),
        "Cmd": list(wanted.command),
        "Env": list(wanted.env),
        "WorkingDir": wanted.working_dir,
        "User": wanted.user,
        "ExposedPorts": {port: {} for port in wanted.exposed},
        "Volumes": {**(before.get("Volumes") or {}), **_anonymous(wanted)},
        "Labels": dict(wanted.labels),
        "StopSignal": "" if wanted.stop_signal == "SIGTERM" else wanted.stop_signal,
        "Healthcheck": _health(wanted.health) if wanted.health else None,
    }
    return {key: value for key, value in config.items() if value}


def _anonymous(wanted: ContainerConfig) -> dict[str, Any]:
    return {mount.target: {} for mount in wanted.mounts if mount.kind == "volume" and mount.anonymous}


def _health(check: HealthCheck) -> dict[str, Any]:
    return {
        "Test": list(check.test),
        "Interval": round(check.interval * _NANOSECONDS),
        "Timeout": round(check.timeout * _NANOSECONDS),
        "StartPeriod": round(check.start_period * _NANOSECONDS),
        "StartInterval": round(check.start_interval * _NANOSECONDS),
        "Retries": check.retries,
    }
