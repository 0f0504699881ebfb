"""The events that commands record: read back, and followed as they come."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from devbox.store.database import Store

_POLL_SECONDS = 0.1


class Event(NamedTuple):
    """A row of the `events` table."""

    sequence: int
    at: float
    type: str
    action: str
    actor: str
    attributes: Mapping[str, str]


def read(store: Store, *, since: float | None, until: float | None) -> Iterator[Event]:
    """Events from `since` on, without it from now; goes on with those to come until `until`, if ever."""
    last = 0 if since is not None else _newest(store)
    version = -1
    while True:
        ended = until is not None and time.time() >= until
        current = store.db.execute("PRAGMA data_version").fetchone()[0]
        if current != version:
            version = current
            for event in _after(store, last, since or 0.0):
                last = event.sequence
                if until is None or event.at <= until:
                    yield event
        if ended:
            return
        time.sleep(_POLL_SECONDS if until is None else max(0.0, min(_POLL_SECONDS, until - time.time())))


def _newest(store: Store) -> int:
    return int(store.db.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])


def _after(store: Store, sequence: int, since: float) -> list[Event]:
    rows = store.db.execute(
        "SELECT seq, at, type, action, actor, attributes_json FROM events WHERE seq > ? AND at >= ? ORDER BY seq",
        (sequence, since),
    ).fetchall()
    return [
        Event(row["seq"], row["at"], row["type"], row["action"], row["actor"], json.loads(row["attributes_json"]))
        for row in rows
    ]
