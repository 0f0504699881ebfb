"""What templates see: JSON-like values, with Go's differences between a struct, a map, and a missing one.

A plain dict stands for a struct: its fields are known, another name is an error, and it prints as `{a b}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class GoMap(dict[str, Any]):
    """A Go map: it has any keys, in sorted order, and prints as `map[a:b]`."""


class Row(dict[str, Any]):
    """A row of a listing: strings, and functions for docker's methods (`.Label "x"`)."""

    def __init__(self, fields: Mapping[str, Any], *, noun: str = "container") -> None:
        super().__init__(fields)
        self.noun = noun


class Nil:
    """A nil slice, map or pointer: false, empty, and null in JSON."""

    def __init__(self, shown: str) -> None:
        self.shown = shown

    def __bool__(self) -> bool:
        return False


NIL_LIST = Nil("[]")
NIL_MAP = Nil("map[]")
ABSENT = Nil("<nil>")
"""a field that JSON leaves out (Go's omitempty) and that a condition may ask for: `{{if .State.Health}}`"""
ABSENT_TEXT = Nil("")
"""the same for a text"""
ABSENT_MAP, ABSENT_LIST = Nil("map[]"), Nil("[]")
_LEFT_OUT = (ABSENT, ABSENT_TEXT, ABSENT_MAP, ABSENT_LIST)


def plain(value: Any) -> Any:
    """A value as JSON shows it: without absent fields and functions, maps sorted."""
    if isinstance(value, Nil):
        return None
    if isinstance(value, GoMap | Row):
        return {key: plain(value[key]) for key in sorted(value) if not _hidden(value[key])}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if not _hidden(item)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _hidden(value: Any) -> bool:
    return any(value is absent for absent in _LEFT_OUT) or callable(value)


def go_json(value: Any) -> str:
    """One line, as Go's encoder writes it."""
    text = json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False)
    if isinstance(value, Row):
        # docker's rows go through json.Marshal, which protects HTML
        text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text


def truth(value: Any) -> bool:
    """What `if` takes for true: anything but false, 0, nil and what is empty; a struct is true."""
    if isinstance(value, dict) and not isinstance(value, GoMap):
        return True
    return bool(value)


def is_nil(value: Any) -> bool:
    """Whether it is nil of any type."""
    return value is None or isinstance(value, Nil)


def type_name(value: Any) -> str:
    """The Go type of a value, for messages and %T."""
    if value is None or value is ABSENT:
        return "<nil>"
    if isinstance(value, bool):
        return "bool"
    names = {int: "int", float: "float64", str: "string", list: "[]interface {}", tuple: "[]interface {}"}
    return names.get(type(value), "map[string]interface {}")
