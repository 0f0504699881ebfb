"""The value of --chmod: octal, or symbolic as chmod(1) reads it with no umask."""

from __future__ import annotations

import re
import stat

from devbox.errors import UsageError

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_CHANGE = re.compile(r"([-+=])([rwxXstugo]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_MODE_MAX = 0o7777

Spec = int | str
"""permission bits, or a symbolic change"""


def read(text: str) -> Spec:
    """Raises UsageError for a value that is neither."""
    if re.fullmatch("[0-7]{1,10}", text):
        mode = int(text, 8)
        if mode <= _MODE_MAX:
            return mode
    elif not text[:1].isdigit() and all(_CLAUSE.fullmatch(clause) for clause in text.split(",")):
        return text
    raise UsageError(
        f"invalid chmod parameter: {text!r}, it should be octal string and between 0 and 07777",
        hint="write 0755, or a change such as u=rwX,go=rX",
    )


def apply(spec: Spec | None, mode: int) -> int:
    """The permission bits that something of `mode`, its kind included, gets."""
    if spec is None:
        return stat.S_IMODE(mode)
    if isinstance(spec, int):
        return spec
    directory = stat.S_ISDIR(mode)
    bits = stat.S_IMODE(mode)
    for clause in spec.split(","):
        match = _CLAUSE.fullmatch(clause)
        assert match
        who = set(match[1]) - {"a"} if match[1] and "a" not in match[1] else {"u", "g", "o"}
        for operator, letters in _CHANGE.findall(match[2]):
            bits = _changed(bits, who, operator, letters, directory=directory, everyone=len(who) == 3)
    return bits


def _changed(bits: int, who: set[str], operator: str, letters: str, *, directory: bool, everyone: bool) -> int:
    mask = _mask(bits, who, letters, directory=directory, everyone=everyone)
    if operator == "-":
        return bits & ~mask
    if operator == "=":
        kept = ~sum(7 << _SHIFTS[each] for each in who)
        for each, bit in (("u", stat.S_ISUID), ("g", stat.S_ISGID)):
            if each in who and not directory:
                kept &= ~bit
        bits &= kept
    return bits | mask


def _mask(bits: int, who: set[str], letters: str, *, directory: bool, everyone: bool) -> int:
    triple = 0
    mask = 0
    for letter in letters:
        if letter in _BITS:
            triple |= _BITS[letter]
        elif letter == "X":
            triple |= 1 if directory or bits & 0o111 else 0
        elif letter in _SHIFTS:
            triple |= bits >> _SHIFTS[letter] & 7
        elif letter == "t":
            mask |= stat.S_ISVTX if everyone or "o" in who else 0
        elif letter == "s":
            mask |= (stat.S_ISUID if "u" in who else 0) | (stat.S_ISGID if "g" in who else 0)
    return mask | sum(triple << _SHIFTS[each] for each in who)
