"""What the build cache holds, and taking it away: steps, and the directories of RUN --mount=type=cache."""

import sys

assert sys.platform == "linux"

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from devbox.image import gc
from devbox.store.database import Store
from devbox.store.scratch import scratch
from devbox.system.locks import try_lock
from devbox.volume import usage

_STEPS = """
    SELECT key, what, build_steps.created, used,
        iif(row_number() OVER (PARTITION BY layer_id ORDER BY key) = 1, coalesce(size, 0), 0) AS size,
        EXISTS (SELECT 1 FROM image_layers WHERE image_layers.layer_id = build_steps.layer_id) AS shared
    FROM build_steps LEFT JOIN layers ON layers.id = layer_id
    ORDER BY used, build_steps.created DESC
"""


class Entry(NamedTuple):
    """A step, or a cache directory."""

    id: str
    kind: str
    """as docker calls it: regular or exec.cachemount"""
    what: str
    size: int
    created: float
    used: float
    shared: bool = False
    """an image has its layer, too"""


def every(store: Store) -> list[Entry]:
    """All entries, the least recently used first."""
    steps = [
        Entry(row["key"], "regular", row["what"], row["size"], row["created"], row["used"], bool(row["shared"]))
        for row in store.db.execute(_STEPS).fetchall()
    ]
    mounts = [
        Entry(
            f"mount-{row['id']}", "exec.cachemount", f"RUN --mount=type=cache,id={row['key']}",
            usage.size(_mount_path(store, row["id"])), row["created"], row["used"],
        )
        for row in store.db.execute("SELECT * FROM build_mounts").fetchall()
    ]  # fmt: skip
    return sorted([*steps, *mounts], key=lambda entry: entry.used)


def prune(
    store: Store, wanted: Callable[[Entry], bool], *, shared: bool, keep: int = 0
) -> tuple[list[Entry], int]:
    """Remove the wanted entries, least recently used first, until `keep` bytes are left; those, and bytes freed.

    Without `shared` those whose layers an image has stay: that would free nothing. What a build uses right now
    stays, too.
    """
    entries = every(store)
    total = sum(entry.size for entry in entries)
    removed: list[Entry] = []
    for entry in entries:
        if keep and total <= keep:
            break
        if wanted(entry) and (shared or not entry.shared) and _remove(store, entry):
            removed.append(entry)
            total -= entry.size
    if len(removed) == len(entries):
        with store.transaction() as db:
            db.execute("DELETE FROM build_memos")
    mounts = sum(entry.size for entry in removed if entry.kind != "regular")
    return removed, gc.collect(store).size + mounts


def _remove(store: Store, entry: Entry) -> bool:
    if entry.kind == "regular":
        with store.transaction(durable=False) as db:
            db.execute("DELETE FROM build_steps WHERE key = ?", (entry.id,))
        return True
    return _remove_mount(store, int(entry.id.removeprefix("mount-")))


def _remove_mount(store: Store, identity: int) -> bool:
    lock = try_lock(f"{store.root.locks}/cache-{identity}")
    if lock is None:
        return False
    try:
        with scratch(store.root, "prune") as trash:
            with store.transaction() as db:
                db.execute("DELETE FROM build_mounts WHERE id = ?", (identity,))
            path = os.path.dirname(_mount_path(store, identity))
            if os.path.isdir(path):
                os.rename(path, trash + "/cache")
    finally:
        os.close(lock)
    return True


def _mount_path(store: Store, identity: int) -> str:
    return f"{store.root.caches}/{identity}/data"


def sizes(entries: Sequence[Entry]) -> tuple[int, int]:
    """Bytes of all, and of those that can be freed."""
    return sum(entry.size for entry in entries), sum(entry.size for entry in entries if not entry.shared)
