"""Words that complete an argument: names of what there is."""

from __future__ import annotations

import sqlite3

from devbox.cli.context import Context
from devbox.errors import DevboxError

_OF_STATE = "SELECT name FROM containers WHERE status {} ORDER BY name"
_QUERIES = {
    "container": "SELECT name FROM containers ORDER BY name",
    "running": _OF_STATE.format("IN ('running', 'paused', 'restarting')"),
    "stopped": _OF_STATE.format("IN ('created', 'exited', 'dead')"),
    "going": _OF_STATE.format("= 'running'"),
    "paused": _OF_STATE.format("= 'paused'"),
    "image": "SELECT name FROM tags ORDER BY name",
    "network": "SELECT name FROM networks ORDER BY name",
    "volume": "SELECT name FROM volumes WHERE NOT anonymous ORDER BY name",
}


def candidates(what: str) -> list[str]:
    """Words for an argument: names of a kind, of several (`a+b`), or fixed ones (`a|b`)."""
    if "|" in what or (what not in _QUERIES and "+" not in what):
        return what.split("|")
    return [name for kind in what.split("+") for name in _names(kind)]


def _names(kind: str) -> list[str]:
    """Nothing where the store cannot be read: a shell has no place for an error."""
    context = Context()
    try:
        names = [str(row[0]) for row in context.store.db.execute(_QUERIES[kind])]
    except (DevboxError, sqlite3.Error, OSError):
        return []
    finally:
        context.close()
    return _familiar(names) if kind == "image" else names


def _familiar(names: list[str]) -> list[str]:
    from devbox.model.reference import familiar

    short = [familiar(name) for name in names]
    return [*short, *(name.removesuffix(":latest") for name in short if name.endswith(":latest"))]
