"""How Go's fmt package prints values: %v and the other verbs, as templates need them."""

from __future__ import annotations

import re
from typing import Any

from devbox.cli.templates.values import ABSENT, GoMap, Nil, go_json, type_name

_VERB = re.compile(r"%([-+# 0]*)(\*|[0-9]+)?(?:\.(\*|[0-9]+)?)?(.)?", re.DOTALL)
_WIDTH_MAX = 10_000
_EXPONENT_FROM = 6


def show(value: Any, *, named: bool = False) -> str:
    """%v, or %+v when `named`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    if isinstance(value, Nil):
        return value.shown
    if isinstance(value, float):
        return _float(value, "g", None)
    if isinstance(value, GoMap):
        return "map[" + " ".join(f"{key}:{show(value[key], named=named)}" for key in sorted(value)) + "]"
    if isinstance(value, dict):
        shown = ((key, show(item, named=named)) for key, item in value.items() if not callable(item))
        return "{" + " ".join(f"{key}:{text}" if named else text for key, text in shown) + "}"
    if isinstance(value, list | tuple):
        return "[" + " ".join(show(item, named=named) for item in value) + "]"
    return str(value)


def printed(values: tuple[Any, ...]) -> str:
    """`print`: a blank between neighbours of which neither is a string."""
    text = ""
    for number, value in enumerate(values):
        if number and not isinstance(value, str) and not isinstance(values[number - 1], str):
            text += " "
        text += show(value)
    return text


def formatted(template: str, values: tuple[Any, ...]) -> str:
    """`printf`; what does not fit is shown as Go shows it, `%!d(string=x)`."""
    printer = _Printf(values)
    text = _VERB.sub(printer.verb, template)
    return text + printer.extra()


class _Printf:
    def __init__(self, values: tuple[Any, ...]) -> None:
        self.values = values
        self.taken = 0

    def verb(self, match: re.Match[str]) -> str:
        flags, width_text, precision_text, verb = match.groups()
        has_precision = "." in match[0][1 : len(match[0]) - len(verb or "")]
        width = self._number(width_text)
        if width is not None and width < 0:
            flags, width = flags + "-", -width
        precision = (self._number(precision_text) or 0) if has_precision else None
        if verb is None:
            return "%!(NOVERB)"
        if verb == "%":
            return "%"
        if self.taken >= len(self.values):
            return f"%!{verb}(MISSING)"
        value = self.values[self.taken]
        self.taken += 1
        return _padded(_verb(verb, value, flags, precision), flags, width, value)

    def _number(self, text: str | None) -> int | None:
        if text is None:
            return None
        if text != "*":
            return min(int(text), _WIDTH_MAX)
        value = self.values[self.taken] if self.taken < len(self.values) else None
        self.taken += 1
        return max(-_WIDTH_MAX, min(value, _WIDTH_MAX)) if isinstance(value, int) else None

    def extra(self) -> str:
        rest = self.values[self.taken :]
        if not rest:
            return ""
        return "%!(EXTRA " + ", ".join(f"{type_name(value)}={show(value)}" for value in rest) + ")"


def _padded(text: str, flags: str, width: int | None, value: Any) -> str:
    if width is None or len(text) >= width:
        return text
    if "-" in flags:
        return text.ljust(width)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return text.zfill(width) if "0" in flags and is_number else text.rjust(width)


def _verb(verb: str, value: Any, flags: str, precision: int | None) -> str:
    if verb == "v":
        return go_json(value) if "#" in flags and isinstance(value, str) else show(value, named="+" in flags)
    if verb == "T":
        return type_name(value)
    if isinstance(value, list | tuple) and verb in "sqdxX":
        return "[" + " ".join(_verb(verb, item, flags, precision) for item in value) + "]"
    if isinstance(value, GoMap) and verb in "sqdxX":
        pairs = (
            f"{_verb(verb, key, flags, precision)}:{_verb(verb, value[key], flags, precision)}"
            for key in sorted(value)
        )
        return "map[" + " ".join(pairs) + "]"
    text = _scalar(verb, value, flags, precision)
    if text is None:
        bad = "<nil>" if value is None or value is ABSENT else f"{type_name(value)}={show(value)}"
        return f"%!{verb}({bad})"
    return text


def _scalar(verb: str, value: Any, flags: str, precision: int | None) -> str | None:
    if isinstance(value, bool):
        return show(value) if verb == "t" else None
    if isinstance(value, str):
        return _string(verb, value, precision)
    if isinstance(value, int):
        return _integer(verb, value, flags)
    if isinstance(value, float) and verb in "eEfFgG":
        text = _float(value, verb, precision)
        return "+" + text if "+" in flags and value >= 0 else text
    return None


def _string(verb: str, value: str, precision: int | None) -> str | None:
    match verb:
        case "s":
            return value[:precision]
        case "q":
            return go_json(value[:precision])
        case "x":
            return value.encode(errors="surrogateescape").hex()
        case "X":
            return value.encode(errors="surrogateescape").hex().upper()
    return None


def _integer(verb: str, value: int, flags: str) -> str | None:
    if verb == "c":
        return chr(value) if 0 <= value <= 0x10FFFF else "\ufffd"
    if verb == "q":
        return repr(chr(value)) if 0 <= value <= 0x10FFFF else None
    if verb == "U":
        return f"U+{value:04X}"
    if verb not in "dxXob":
        return None
    text = format(value, verb)
    if "#" in flags and verb in "xX":
        text = f"0{verb}{text}"
    return "+" + text if "+" in flags and value >= 0 else text


def _float(value: float, verb: str, precision: int | None) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}[str(value)]
    if verb in "eEfF":
        return format(value, f".{6 if precision is None else precision}{verb}")
    if precision is not None:
        return format(value, f".{precision or 1}{verb}")
    # shortest: the fewest digits that read back as the same number; an exponent from six digits on
    texts = (format(value, f".{places}e") for places in range(17))
    text = next(text for text in texts if float(text) == value)
    return _positional(value) if -4 <= int(text.partition("e")[2]) < _EXPONENT_FROM else text


def _positional(value: float) -> str:
    text = repr(value)
    return text.removesuffix(".0") if "e" not in text else format(value, "f").rstrip("0").rstrip(".")
