"""The words for true and false that docker's flags, filters and mounts take: Go's strconv.ParseBool."""

from __future__ import annotations

_WORDS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def truth(text: str) -> bool | None:
    """What a word says; None for any other."""
    return _WORDS.get(text)
