"""An image's config document <-> values: read strictly, written canonically."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from devbox.errors import RefusedError
from devbox.image.strictjson import parse_object
from devbox.model.container import HealthCheck
from devbox.model.image import HistoryEntry, Image, ImageConfig
from devbox.model.reference import DIGEST

LAYERS_MAX = 250
"""what overlayfs mounts with one page of options, each layer named in up to 15 bytes"""
_HISTORY_MAX = 10_000
_LIST_MAX = 10_000
_EXPOSED_MAX = 3 << 16
"""every port of three protocols"""
_WHAT = "the image's config"
_PORT = r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?"
_TIME = (
    r"(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)"
    r"(\.\d{1,12})?(?:[Zz]|([+-])(\d\d):(\d\d))"
)
_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}


class Document(NamedTuple):
    """What a config document says."""

    created: float
    architecture: str
    os: str
    variant: str
    author: str
    comment: str
    config: ImageConfig
    diff_ids: tuple[str, ...]
    history: tuple[HistoryEntry, ...]


def parse(data: bytes) -> Document:
    """Read and check a config document; RefusedError for one that is malformed or cannot run here."""
    fields = parse_object(data, _WHAT)
    system = _text(fields, "os") or "linux"
    if system != "linux":
        raise RefusedError(f"the image is for {system!r}, and devbox runs linux")
    return Document(
        created=parse_time(_text(fields, "created")),
        architecture=_text(fields, "architecture") or architecture(),
        os=system,
        variant=_text(fields, "variant"),
        author=_text(fields, "author"),
        comment=_text(fields, "comment"),
        config=_config(_object(fields, "config")),
        diff_ids=_diff_ids(_object(fields, "rootfs")),
        history=tuple(_history(entry) for entry in _list(fields, "history", most=_HISTORY_MAX)),
    )


def compose(
    *,
    created: float,
    config: Mapping[str, Any],
    diff_ids: Sequence[str],
    history: Sequence[HistoryEntry],
    platform: tuple[str, str] = ("", ""),
) -> dict[str, Any]:
    """A config document of our own; `platform` is architecture and variant, this machine's when empty."""
    document = {
        "architecture": platform[0] or architecture(),
        "config": dict(config),
        "created": format_time(created),
        "history": [write_history(entry) for entry in history],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
    }
    if platform[1]:
        document["variant"] = platform[1]
    return document


def write(document: Mapping[str, Any]) -> bytes:
    """The bytes of a document; the same document always gives the same."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def write_history(entry: HistoryEntry) -> dict[str, Any]:
    """An entry of the `history` of a config document."""
    shown: dict[str, Any] = {name: value for name, value in zip(entry._fields, entry, strict=True) if value}
    return shown


def architecture() -> str:
    """This machine's, by the name that images use."""
    import os

    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def platform_of(text: str) -> tuple[str, str]:
    """Read OS/ARCHITECTURE[/VARIANT] or an architecture alone, as --platform has it."""
    from devbox.errors import UsageError

    parts = text.lower().split("/")
    if parts[0] == "linux":
        parts = parts[1:]
    elif len(parts) > 1 or parts[0] in ("windows", "darwin", "freebsd", ""):
        raise UsageError(f"images for {text!r} cannot be used here", hint="write it as linux/amd64")
    if not 1 <= len(parts) <= 2 or not all(re.fullmatch(r"[a-z0-9_]+", part) for part in parts):
        raise UsageError(f"invalid platform: {text!r}", hint="write it as linux/amd64 or linux/arm/v7")
    return _ARCHITECTURES.get(parts[0], parts[0]), parts[1] if len(parts) > 1 else ""


def fits(image: Image, platform: str) -> bool:
    """Whether an image is for a platform of --platform, "" or "linux" being any."""
    if platform in ("", "linux"):
        return True
    architecture, variant = platform_of(platform)
    return image.architecture == architecture and (not variant or image.variant in ("", variant))


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time, 0 for none; without the 3 ms of importing datetime."""
    if not text:
        return 0.0
    match = re.fullmatch(_TIME, text)
    if match is None:
        raise RefusedError(f"{_WHAT} has a malformed time: {text[:40]!r}")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, hours, minutes = match.groups()[6:]
    offset = 60 * int(hours or 0) + int(minutes or 0)
    shifted = hour * 60 + minute + (offset if sign == "-" else -offset)
    return _days(year, month, day) * 86400.0 + shifted * 60 + second + float(fraction or 0)


def _days(year: int, month: int, day: int) -> int:
    """Days since the epoch; the year is taken to begin in March, so that the leap day is its last."""
    year -= month <= 2
    past = (153 * ((month + 9) % 12) + 2) // 5
    return year * 365 + year // 4 - year // 100 + year // 400 + past + day - 719469


def format_time(seconds: float) -> str:
    """RFC 3339 in UTC, with microseconds where there are any."""
    import time

    whole, micro = divmod(round(seconds * 1_000_000), 1_000_000)
    fraction = f".{micro:06}".rstrip("0").rstrip(".")
    when = time.gmtime(whole)
    return f"{when.tm_year:04}" + time.strftime("-%m-%dT%H:%M:%S", when) + fraction + "Z"


def _config(fields: Mapping[str, Any]) -> ImageConfig:
    return ImageConfig(
        entrypoint=_words(fields, "Entrypoint"),
        command=_words(fields, "Cmd"),
        env=tuple(item for item in _words(fields, "Env") if item.find("=") > 0),
        working_dir=_text(fields, "WorkingDir"),
        user=_text(fields, "User"),
        exposed=tuple(sorted(_exposed(_object(fields, "ExposedPorts")))),
        volumes=tuple(_volume(path) for path in _object(fields, "Volumes")),
        labels=_labels(fields),
        stop_signal=_text(fields, "StopSignal"),
        health=_health(_object(fields, "Healthcheck")),
        shell=_words(fields, "Shell"),
        onbuild=_words(fields, "OnBuild"),
    )


def _diff_ids(rootfs: Mapping[str, Any]) -> tuple[str, ...]:
    found = tuple(_list(rootfs, "diff_ids", most=_LIST_MAX))
    if len(found) > LAYERS_MAX:
        raise RefusedError(
            f"the image has {len(found)} layers, and at most {LAYERS_MAX} can be mounted",
            hint="build it with fewer instructions, or flatten it with export and import",
        )
    for digest in found:
        check_digest(digest)
    return found


def check_digest(digest: Any) -> str:
    """A digest that may become part of a path."""
    if not isinstance(digest, str) or not re.fullmatch(DIGEST, digest):
        raise RefusedError(f"not a sha256 digest: {str(digest)[:80]!r}")
    return digest


def _history(entry: Any) -> HistoryEntry:
    if not isinstance(entry, dict):
        raise _wrong("history", "objects")
    text = {name: _text(entry, name) for name in ("created", "created_by", "comment", "author")}
    if text["created"]:
        parse_time(text["created"])
    return HistoryEntry(**text, empty_layer=entry.get("empty_layer") is True)


def _health(fields: Mapping[str, Any]) -> HealthCheck | None:
    test = _words(fields, "Test")
    if not test:
        return None
    standard = HealthCheck(test)
    return standard._replace(
        interval=_seconds(fields, "Interval") or standard.interval,
        timeout=_seconds(fields, "Timeout") or standard.timeout,
        retries=_number(fields, "Retries") or standard.retries,
        start_period=_seconds(fields, "StartPeriod"),
        start_interval=_seconds(fields, "StartInterval") or standard.start_interval,
    )


def _seconds(fields: Mapping[str, Any], key: str) -> float:
    return _number(fields, key) / 1e9


def _number(fields: Mapping[str, Any], key: str) -> int:
    value = fields.get(key) or 0
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise _wrong(key, "a number")
    return value


def _exposed(texts: Iterable[str]) -> set[str]:
    """ "80/tcp", ranges taken apart; thousands of ranges, each of all ports, must not take minutes."""
    found: set[str] = set()
    count = 0
    for text in texts:
        ports = _ports(text)
        found.update(ports)
        count += len(ports)
        if count > _EXPOSED_MAX:
            raise RefusedError(f"{_WHAT} exposes more than {_EXPOSED_MAX} ports")
    return found


def _ports(text: str) -> list[str]:
    match = re.fullmatch(_PORT, text)
    first, last, protocol = match.groups() if match else ("0", None, None)
    begin, end = int(first), int(last or first)
    if not 0 < begin <= end < 1 << 16:
        raise RefusedError(f"{_WHAT} exposes a malformed port: {text[:40]!r}")
    return [f"{port}/{protocol or 'tcp'}" for port in range(begin, end + 1)]


def _volume(path: str) -> str:
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise RefusedError(f"{_WHAT} has a malformed volume: {path[:80]!r}")
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


def _labels(fields: Mapping[str, Any]) -> Mapping[str, str]:
    labels = _object(fields, "Labels")
    if not all(isinstance(value, str) for value in labels.values()):
        raise _wrong("Labels", "texts")
    return labels


def _words(fields: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = fields.get(key)
    words = [value] if isinstance(value, str) else _list(fields, key)
    if not all(isinstance(word, str) and "\0" not in word for word in words):
        raise _wrong(key, "texts without NUL")
    return tuple(words)


def _list(fields: Mapping[str, Any], key: str, *, most: int = _LIST_MAX) -> list[Any]:
    value = fields.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(key, "a list")
    if len(value) > most:
        raise RefusedError(f"{_WHAT} has more than {most} of {key!r}")
    return value


def _object(fields: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = fields.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > _LIST_MAX:
        raise _wrong(key, "an object")
    return value


def _text(fields: Mapping[str, Any], key: str) -> str:
    value = fields.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise _wrong(key, "a text")
    return value


def _wrong(key: str, wanted: str) -> RefusedError:
    return RefusedError(f"{_WHAT} is malformed: {key!r} must be {wanted}")
