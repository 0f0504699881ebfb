"""Sizes and times as docker prints and reads them."""

from __future__ import annotations

import re
import time

from devbox.errors import UsageError
from devbox.model.values_parse import parse_duration

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_RFC3339 = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[T ](\d{2})(?::(\d{2})(?::(\d{2})(\.\d{1,9})?)?)?)?(Z|[+-]\d{2}:?\d{2})?"
)
NEVER = "0001-01-01T00:00:00Z"


def human_size(size: float, *, digits: int = 3) -> str:
    """1.24MB: powers of 1000."""
    return _scaled(size, 1000, _DECIMAL, digits)


def binary_size(size: float) -> str:
    """16.8MiB: powers of 1024."""
    return _scaled(size, 1024, _BINARY, 4)


def _scaled(size: float, base: int, units: tuple[str, ...], digits: int) -> str:
    number = 0
    while size >= base and number < len(units) - 1:
        size /= base
        number += 1
    return _general(size, digits) + units[number]


def _general(value: float, digits: int) -> str:
    """Go's %.3g: rounding up to a fourth digit gives it an exponent."""
    return f"{value:.{digits}g}"


def human_duration(seconds: float) -> str:
    """docker's rough words: "5 minutes", "About an hour", "2 weeks"."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = whole // 60
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for limit, hours_in_one, unit in ((336, 24, "days"), (1440, 168, "weeks"), (17520, 720, "months")):
        if hours < limit:
            return f"{hours // hours_in_one} {unit}"
    return f"{int(seconds / 3600) // 24 // 365} years"


def ago(moment: float, now: float | None = None) -> str:
    """ "5 minutes ago" """
    return human_duration((time.time() if now is None else now) - moment) + " ago"


def rfc3339(moment: float) -> str:
    """UTC with nanoseconds as docker's inspect has them; year 1 for a time that never was."""
    if not moment:
        return NEVER
    whole, micro = divmod(round(moment * 1_000_000), 1_000_000)
    fraction = f".{micro:06}".rstrip("0") if micro else ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + fraction + "Z"


def local_time(moment: float) -> str:
    """2026-11-24 08:24:28 +0000 UTC: Go's way to print a time of here."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(moment))


def parse_time(text: str, option: str, now: float | None = None) -> float:
    """Seconds since the epoch of a Unix time, a date and time of here or of its zone, or a duration before now."""
    if re.fullmatch(r"\d{1,12}(\.\d+)?", text, re.ASCII):
        return float(text)
    if match := _RFC3339.fullmatch(text):
        return _moment(match, text, option)
    try:
        seconds = parse_duration(text.removeprefix("-"), option)
    except UsageError:
        raise UsageError(
            f"invalid time {text!r} for {option}",
            hint="write 2026-01-31T12:00:00Z, a Unix time, or 42m for 42 minutes ago",
        ) from None
    current = time.time() if now is None else now
    return current + seconds if text.startswith("-") else current - seconds


def _moment(match: re.Match[str], text: str, option: str) -> float:
    import calendar

    numbers = [int(part or 0) for part in match.groups()[:6]]
    fraction = float(match[7] or 0)
    zone = match[8]
    year, month, day, hour, minute, second = numbers
    fields = (year, month, day, hour, minute, second, 0, 0, -1)
    try:
        time.strptime(" ".join(map(str, numbers)), "%Y %m %d %H %M %S")
        if zone is None:
            return time.mktime(fields) + fraction
    except (ValueError, OverflowError):
        raise UsageError(f"invalid time {text!r} for {option}", hint="there is no such day or hour") from None
    offset = 0
    if zone != "Z":
        digits = zone[1:].replace(":", "")
        offset = (int(digits[:2]) * 60 + int(digits[2:])) * (-60 if zone[0] == "-" else 60)
    return calendar.timegm(fields) - offset + fraction
