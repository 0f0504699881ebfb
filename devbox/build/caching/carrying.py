"""A build cache in a directory, for other stores: --cache-to and --cache-from of type local.

`index.json` lists steps by key with the digest of their layer; `blobs/sha256/<hex>` are layers as tar streams.
"""

import sys

assert sys.platform == "linux"

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from devbox.build.caching import cache
from devbox.errors import HostError, NotFoundError, RefusedError
from devbox.image import layers, load
from devbox.image.archive import DirectoryArchive
from devbox.image.config import check_digest
from devbox.image.manifests import Blob
from devbox.image.strictjson import parse_object
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system.files import replacing, write_all, write_atomic
from devbox.system.walk import open_root, opened

_KEY = re.compile(r"[0-9a-f]{64}")
_INDEX_MAX = 4 << 20
_WHAT = "the index of the build cache"


class Entry(NamedTuple):
    """A step of a carried cache."""

    place: str
    """the directory that it is in"""
    diff_id: str
    """"" for a step that changed no file"""
    result: str
    what: str


class Carried:
    """Steps to be taken from directories when the store does not have them."""

    def __init__(self, directories: Iterable[str]) -> None:
        self._entries: dict[str, Entry] = {}
        for directory in directories:
            self._entries.update(_read(directory))

    def find(self, store: Store, key: str) -> cache.Step | None:
        """Take a step into the store; None when there is none by this key."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        layer = _take_layer(store, entry) if entry.diff_id else None
        return cache.take(store, key, layer, result=entry.result, what=entry.what)


def _read(directory: str) -> Iterator[tuple[str, Entry]]:
    try:
        with open(directory + "/index.json", "rb") as file:
            data = file.read(_INDEX_MAX + 1)
    except FileNotFoundError:
        return  # the first build of all finds none
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise NotFoundError(f"cannot read the build cache {directory}: {reason}") from error
    yield from read_index(data, directory)


def read_index(data: bytes, place: str) -> Iterator[tuple[str, Entry]]:
    """The steps that an index lists, by key; RefusedError for a malformed one."""
    steps = parse_object(data, _WHAT).get("steps")
    if not isinstance(steps, dict):
        raise RefusedError(f"{_WHAT} in {place} is malformed")
    for key, step in steps.items():
        yield key, _entry(place, key, step)


def _entry(directory: str, key: str, step: Any) -> Entry:
    fields = [step.get(name) for name in ("layer", "result", "what")] if isinstance(step, dict) else []
    texts = [field for field in fields if isinstance(field, str)]
    if len(texts) != 3 or not _KEY.fullmatch(key) or not _KEY.fullmatch(texts[1]):
        raise RefusedError(f"{_WHAT} in {directory} is malformed")
    if texts[0]:
        check_digest(texts[0])
    return Entry(directory, *texts)


def _take_layer(store: Store, entry: Entry) -> int:
    with scratch(store.root, "carried") as place, load.missing(store, [entry.diff_id]) as absent:
        prepared = [_unpack(entry, place + "/layer")] if absent else []
        if prepared:
            layers.sync(store)
        with store.transaction(durable=False) as db:
            layers.record(store, db, prepared)
            layer = layers.find(db, entry.diff_id)
            assert layer is not None
            layers.hold(store, layer)
    return layer


def _unpack(entry: Entry, target: str) -> layers.Prepared:
    name = "blobs/" + entry.diff_id.replace(":", "/")
    with contextlib.ExitStack() as stack:
        archive = DirectoryArchive(stack.enter_context(opened(open_root(entry.place))), stack)
        return load.unpack_layer(archive, Blob(name, entry.diff_id), entry.diff_id, target)


def write(store: Store, keys: Iterable[str], directory: str) -> None:
    """Write the steps of a build with their layers; what the directory has already of them stays."""
    try:
        os.makedirs(directory + "/blobs/sha256", exist_ok=True)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise HostError(f"cannot write the build cache {directory}: {reason}") from error
    steps = {}
    for key in keys:
        step = step_of(store, key)
        if step is not None:
            steps[key] = {"layer": step.diff_id, "result": step.result, "what": step.what}
        if step is not None and step.layer is not None:
            _write_blob(store, step.layer, f"{directory}/blobs/{step.diff_id.replace(':', '/')}")
    document = json.dumps({"steps": steps}, indent=1, sort_keys=True).encode()
    write_atomic(directory + "/index.json", document, mode=0o644)


class Known(NamedTuple):
    """A step that is in the cache, with the digest of its layer."""

    layer: int | None
    diff_id: str
    result: str
    what: str


def step_of(store: Store, key: str) -> Known | None:
    """A step of the cache, its layer measured; None when there is none by this key."""
    row = store.db.execute("SELECT layer_id, result, what FROM build_steps WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    if row["layer_id"] is None:
        return Known(None, "", row["result"], row["what"])
    layer, diff_id = _measured(store, row["layer_id"])
    return Known(layer, diff_id, row["result"], row["what"])


def _measured(store: Store, layer: int) -> tuple[int, str]:
    known = layers.known_digest(store, layer)
    if known is not None:
        return layer, known
    found = layers.measure_layer(store, layer)
    with store.transaction() as db:
        return layers.note_digest(store, db, layer, found), found.diff_id


def _write_blob(store: Store, layer: int, path: str) -> None:
    if os.path.exists(path):
        return
    with replacing(path, mode=0o644) as fd:
        layers.write_tar(store, layer, lambda data: write_all(fd, data))
