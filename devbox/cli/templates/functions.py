"""The functions that a template may call: text/template's and docker's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from devbox.cli.templates.printing import formatted, printed, show
from devbox.cli.templates.values import GoMap, Nil, Row, go_json, is_nil, truth, type_name

_PAD_MAX = 10_000


class CallError(Exception):
    """A function refused its arguments; the evaluator says where."""


class Signature(NamedTuple):
    """A function with the number and the types ("string", "int", "[]string", "any") of its arguments."""

    call: Callable[..., Any]
    types: tuple[str, ...]
    variadic: bool = False
    """further arguments are of any type"""


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode(errors="surrogatepass"))
    if isinstance(value, bool | float) or value is None:
        raise CallError(f"len of {'nil pointer' if value is None else 'type ' + type_name(value)}")
    if isinstance(value, int):
        # docker reads numbers as text here
        return len(str(value))
    return 0 if isinstance(value, Nil) else len(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        value = _item(value, key)
    return value


def _item(value: Any, key: Any) -> Any:
    if is_nil(value):
        raise CallError("index of untyped nil")
    if isinstance(value, dict):
        if not isinstance(key, str):
            raise CallError(f"value has type {type_name(key)}; should be string")
        return value.get(key, _zero(value))
    if not isinstance(value, list | tuple | str):
        raise CallError(f"can't index item of type {type_name(value)}")
    if isinstance(key, bool) or not isinstance(key, int):
        raise CallError(f"cannot index slice/array with type {type_name(key)}")
    items = value.encode(errors="surrogatepass") if isinstance(value, str) else value
    if not 0 <= key < len(items):
        raise CallError(f"index out of range: {key}")
    return items[key]


def _zero(mapping: dict[str, Any]) -> Any:
    """What Go finds for a key that a map does not have: the zero value of its type."""
    for value in mapping.values():
        return "" if isinstance(value, str) else None
    return ""


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, list | tuple | str):
        raise CallError(f"can't slice item of type {type_name(value)}")
    if len(bounds) > 2:
        raise CallError("cannot 3-index slice a string" if isinstance(value, str) else "too many slice indexes")
    for bound in bounds:
        if isinstance(bound, bool) or not isinstance(bound, int):
            raise CallError(f"cannot index slice/array with type {type_name(bound)}")
        if not 0 <= bound <= len(value):
            raise CallError(f"index out of range: {bound}")
    first, last = (*bounds, len(value))[:2] if bounds else (0, len(value))
    if first > last:
        raise CallError(f"invalid slice index: {first} > {last}")
    return value[first:last]


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    for cls, kind in ((int, "int"), (float, "float"), (str, "string")):
        if isinstance(value, cls):
            return kind
    if is_nil(value):
        return "nil"
    raise CallError(f"non-comparable type {show(value)}: {type_name(value)}")


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise CallError("missing argument for comparison")
    kind = _kind(first)
    for other in others:
        if kind != _kind(other):
            if "nil" in (kind, _kind(other)):
                continue
            if _same_number(first, other):
                return True
            raise CallError("incompatible types for comparison")
        if kind == "nil" or first == other:
            return True
    return False


def _same_number(first: Any, other: Any) -> bool:
    """Docker reads numbers of documents as text, so `eq .State.Pid "42"` holds."""
    return isinstance(first, int) and isinstance(other, str) and str(first) == other


def _less(first: Any, second: Any) -> bool:
    kind = _kind(first)
    if kind != _kind(second):
        raise CallError("incompatible types for comparison")
    if kind in ("bool", "nil"):
        raise CallError("invalid type for comparison")
    return bool(first < second)


def _truncate(text: str, length: int) -> str:
    return text[: max(length, 0)] if len(text) > length else text


def _pad(text: str, before: int, after: int) -> str:
    blanks = (" " * max(0, min(count, _PAD_MAX)) for count in (before, after))
    return text and next(blanks) + text + next(blanks)


def _join(parts: list[str], separator: str) -> str:
    return separator.join(parts)


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


def _title(text: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))


def _json(value: Any) -> str:
    return go_json(value)


FUNCTIONS: dict[str, Signature] = {
    "and": Signature(lambda *values: values[-1], ("any",), variadic=True),
    "or": Signature(lambda *values: values[-1], ("any",), variadic=True),
    "not": Signature(lambda value: not truth(value), ("any",)),
    "eq": Signature(_equal, ("any",), variadic=True),
    "ne": Signature(lambda first, second: not _equal(first, second), ("any", "any")),
    "lt": Signature(_less, ("any", "any")),
    "le": Signature(lambda first, second: _less(first, second) or _equal(first, second), ("any", "any")),
    "gt": Signature(lambda first, second: not (_less(first, second) or _equal(first, second)), ("any", "any")),
    "ge": Signature(lambda first, second: not _less(first, second), ("any", "any")),
    "index": Signature(_index, ("any",), variadic=True),
    "slice": Signature(_slice, ("any",), variadic=True),
    "len": Signature(_length, ("any",)),
    "print": Signature(lambda *values: printed(values), (), variadic=True),
    "println": Signature(lambda *values: " ".join(map(show, values)) + "\n", (), variadic=True),
    "printf": Signature(lambda text, *values: formatted(text, values), ("string",), variadic=True),
    "json": Signature(_json, ("any",)),
    "upper": Signature(str.upper, ("string",)),
    "lower": Signature(str.lower, ("string",)),
    "title": Signature(_title, ("string",)),
    "split": Signature(_split, ("string", "string")),
    "join": Signature(_join, ("[]string", "string")),
    "truncate": Signature(_truncate, ("string", "int")),
    "pad": Signature(_pad, ("string", "int", "int")),
}


def fits(value: Any, wanted: str) -> bool:
    """Whether a value may be an argument of that type."""
    match wanted:
        case "string":
            return isinstance(value, str)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "[]string":
            is_list = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
            return is_list or (isinstance(value, Nil) and value.shown == "[]")
    return True


def is_map(value: Any) -> bool:
    """Whether any name may be asked of it."""
    return isinstance(value, GoMap) and not isinstance(value, Row)
