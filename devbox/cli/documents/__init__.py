"""What `inspect` shows: docker's documents, with Go's types where templates can tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from devbox.cli.templates.values import NIL_LIST, NIL_MAP, GoMap


def listed(values: Iterable[Any]) -> Any:
    """A list, nil when it is empty: docker shows null."""
    return list(values) or NIL_LIST


def mapped(values: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> GoMap:
    """A map."""
    return GoMap(values)


def mapped_or_nil(values: Mapping[str, Any]) -> Any:
    """A map, nil when it is empty."""
    return GoMap(values) if values else NIL_MAP


def keys(values: Iterable[str]) -> GoMap:
    """A set as Go has it: a map to empty structs."""
    return GoMap((value, {}) for value in values)
