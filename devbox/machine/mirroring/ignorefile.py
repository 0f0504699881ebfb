"""`.devboxignore`: what a mirror leaves out, in the language of .gitignore, as expressions for Unison. Pure.

A name without a slash is meant at any depth, one with a slash from the top; `*` and `?` stop at a slash, `**` does
not; `!` takes back and so stands at the end; `#` begins a comment. What lies in a directory that is left out is
left out with it. Unison does not tell a directory from a file here, so a slash at the end says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from devbox.errors import UsageError

NAME = ".devboxignore"
_SPECIAL = "|()*+?[.^${\\"
_TOKEN = re.compile(r"\\(.)|(\*\*/|/\*\*$|\*|\?)|(\[[!^]?\]?[^\]]*\])|(.)", re.DOTALL)
_GLOBS = {"**/": "(.*/)?", "/**": "/.+", "*": "[^/]*", "?": "[^/]"}


class Ignored(NamedTuple):
    """Expressions that a whole path, without a slash in front, matches."""

    out: tuple[str, ...] = ()
    back: tuple[str, ...] = ()


def parse(text: str, file: str) -> Ignored:
    """The lines of a file; UsageError names the first that means nothing."""
    out: list[str] = []
    back: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        pattern = _trimmed(line)
        if not pattern or pattern.startswith("#"):
            continue
        place = f"{file}:{number}"
        if pattern.startswith("!"):
            back.append(_expression(pattern[1:], place))
        elif back:
            raise UsageError(f"{place}: {pattern} stands after a line with !", hint="put those at the end")
        else:
            out.append(_expression(pattern, place))
    return Ignored(tuple(out), tuple(back))


def words(ignored: Ignored) -> Iterable[str]:
    """The same as arguments of Unison."""
    for option, expressions in (("-ignore", ignored.out), ("-ignorenot", ignored.back)):
        for expression in expressions:
            yield option
            yield f"Regex {expression}"


def _trimmed(line: str) -> str:
    """Without the blanks at its end that no backslash keeps."""
    kept = line.rstrip(" \t")
    return kept + " " if kept.endswith("\\") and kept != line else kept


def _expression(pattern: str, place: str) -> str:
    anchored = "/" in pattern.rstrip("/")
    body = pattern.strip("/")
    if not body:
        raise UsageError(f"{place}: {pattern} names nothing")
    prefix = "" if anchored else "(.*/)?"
    return prefix + "".join(_piece(found, place) for found in _TOKEN.finditer(body))


def _piece(found: re.Match[str], place: str) -> str:
    escaped, glob, choice, plain = found.groups()
    if glob:
        return _GLOBS[glob]
    if choice:
        return _choice(choice)
    if plain == "[" or (plain == "\\" and not escaped):
        raise UsageError(f"{place}: a {plain} stands alone", hint=f"write \\{plain} for the sign itself")
    sign: str = escaped or plain
    return "[ ]" if sign == " " else "\\" + sign if sign in _SPECIAL else sign


def _choice(text: str) -> str:
    inner = text[1:-1]
    return f"[^{inner[1:]}/]" if inner[:1] in ("!", "^") else f"[{inner}]"
