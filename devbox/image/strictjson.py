"""JSON from strangers: bounded in size and depth, without duplicate keys or words that are no JSON."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
from typing import Any

from devbox.errors import RefusedError

SIZE_MAX = 4 << 20
DEPTH_MAX = 64


def parse_object(data: bytes, what: str) -> dict[str, Any]:
    """The object in `data`; RefusedError names it `what`."""
    value = parse(data, what)
    if not isinstance(value, dict):
        raise _malformed(what, "it is not an object")
    return value


def parse(data: bytes, what: str) -> Any:
    """The value in `data`; RefusedError names it `what`."""
    if len(data) > SIZE_MAX:
        raise RefusedError(f"{what} has more than {SIZE_MAX} bytes")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise _too_deep(what) from None
    except UnicodeDecodeError:
        raise _malformed(what, "it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _malformed(what, f"{error.msg.lower()} at byte {error.pos}") from None
    except ValueError as error:
        raise _malformed(what, str(error)) from None
    _check(value, what)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice in an object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _check(value: Any, what: str) -> None:
    """Bound the depth, level by level, and let no text through that cannot be written down again."""
    level = [value]
    for _ in range(DEPTH_MAX + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str) and not item.isascii():
                _check_text(item, what)
        if not below:
            return
        level = below
    raise _too_deep(what)


def _check_text(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _malformed(what, "a text in it is not Unicode") from None


def _too_deep(what: str) -> RefusedError:
    return RefusedError(f"{what} is nested more than {DEPTH_MAX} levels deep")


def _malformed(what: str, why: str) -> RefusedError:
    return RefusedError(f"{what} is not valid JSON: {why}")
