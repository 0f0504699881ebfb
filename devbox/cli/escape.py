"""Text of strangers (images, containers, registries) made harmless for a terminal."""

from __future__ import annotations

import re

_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
_UNSAFE = re.compile(f"[{_CONTROLS}]")
_UNSAFE_IN_CELL = re.compile(f"[{_CONTROLS}\t\n]")


def escape(text: str) -> str:
    r"""Show control and direction-changing characters as \x1b or \u202e; line feeds and tabs stay."""
    return _UNSAFE.sub(_shown, text)


def escape_below(text: str) -> str:
    """The same for text that goes on in indented lines: none of a stranger's looks like one of ours."""
    return re.sub("\n(?! )", "\n  ", escape(text))


def escape_cell(text: str) -> str:
    """The same for a cell of a table, where line feeds and tabs have no place either."""
    return _UNSAFE_IN_CELL.sub(_shown, text)


def escape_json(text: str) -> str:
    r"""The same for a JSON document: \u009b, which a parser reads as what it was."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _shown(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
