"""The build cache: what each step made, found by a key of all that went into it.

A step's row and layer are there at once, so that a killed build loses nothing, but they are trusted after a reboot
only when a build that used them has ended and synced: until then the row names the boot that made it.
"""

import sys

assert sys.platform == "linux"

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from devbox.build.caching.waiting import alone
from devbox.image import layers
from devbox.store.database import Store
from devbox.system import procfs

_VERSION = b"devbox build 1\0"
_MEMO_SECONDS = 30 * 86400.0
_MOMENT_SECONDS = 300.0


class Step(NamedTuple):
    """What a step made."""

    layer: int | None
    """None when it changed no file"""
    result: str
    """what the key of the next step is made of"""
    synced: bool = False
    """its files are surely on the disk"""


def key_of(kind: str, fields: Mapping[str, object]) -> str:
    """The key of a step: a digest of its kind and all that it depends on."""
    import hashlib
    import json

    text = json.dumps([kind, fields], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(_VERSION + text.encode()).hexdigest()


def find(store: Store, key: str) -> Step | None:
    """The step with this key; its layer is held until this process ends."""
    step = _find(store, key)
    if step is None or step.layer is None:
        return step
    layers.hold(store, step.layer)
    return step if _find(store, key) == step else None


def _find(store: Store, key: str) -> Step | None:
    row = store.db.execute("SELECT layer_id, result, boot_id FROM build_steps WHERE key = ?", (key,)).fetchone()
    if row is None or row["boot_id"] not in ("", procfs.boot_id()):
        return None
    return Step(row["layer_id"], row["result"], not row["boot_id"])


def add(store: Store, key: str, what: str, *, result: str, made: tuple[str, int] | None) -> Step:
    """Record what a step made: `made` is a directory that holds its diff/, which is renamed away, and its size."""
    now = time.time()
    with store.transaction(durable=False) as db:
        layer = None
        if made is not None:
            layer = layers.take_unmeasured(store, db, *made)
            layers.hold(store, layer)
        _insert(store, key, Step(layer, result), what, now)
    return Step(layer, result)


def take(store: Store, key: str, layer: int | None, *, result: str, what: str) -> Step:
    """Record a step that was made elsewhere; its layer is held."""
    step = Step(layer, result)
    alias(store, key, step, what)
    return step


def alias(store: Store, key: str, step: Step, what: str) -> None:
    """Let a further key find a step that is recorded already."""
    with store.transaction(durable=False):
        _insert(store, key, step, what, time.time())


def _insert(store: Store, key: str, step: Step, what: str, now: float) -> None:
    store.db.execute(
        "INSERT OR REPLACE INTO build_steps (key, layer_id, result, boot_id, what, created, used)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (key, step.layer, step.result, procfs.boot_id(), what[:1000], now, now),
    )


def only(store: Store, key: str, check: Callable[[], None]) -> contextlib.AbstractContextManager[None]:
    """Be the only one, of all builds on this store, who makes this step; `check` raises when there is no point."""
    return alone(f"{store.root.locks}/step-{key}", check)


def settle(store: Store, keys: Iterable[str], memos: Iterable[str]) -> None:
    """[tx] Note that a build that ends well, and has synced what it made, has used these.

    Nothing is written for what was used a moment ago: a build that finds everything should not wait for the disk.
    """
    now = time.time()
    recent = now - _MOMENT_SECONDS
    store.db.executemany(
        "UPDATE build_steps SET used = ?, boot_id = '' WHERE key = ? AND (used < ? OR boot_id <> '')",
        [(now, key, recent) for key in keys],
    )
    store.db.executemany(
        "UPDATE build_memos SET used = ? WHERE key = ? AND used < ?", [(now, key, recent) for key in memos]
    )
    store.db.execute("DELETE FROM build_memos WHERE used < ?", (now - _MEMO_SECONDS,))


class Memos:
    """Digests of what was read before, in the state file."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.used: list[str] = []

    def get(self, key: str) -> bytes | None:
        """What was kept under a key."""
        row = self._store.db.execute("SELECT value FROM build_memos WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        self.used.append(key)
        return bytes(row["value"])

    def put(self, key: str, value: bytes) -> None:
        """Keep something."""
        with self._store.transaction(durable=False) as db:
            db.execute(
                "INSERT OR REPLACE INTO build_memos (key, value, used) VALUES (?, ?, ?)",
                (key, value, time.time()),
            )
