"""From TOML to checked values, keeping every mistake with its file, line and key."""

from __future__ import annotations

import difflib
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from devbox.errors import UsageError
from devbox.machine import places
from devbox.machine.translation import hostpath, mountmap
from devbox.machine.translation.mountmap import Share

PROVIDERS = ("virtualbox", "libvirt", "qemu", "vmware_desktop", "parallels", "hyperv")
SHARE_KINDS = ("9p", "virtiofs", "nfs", "rsync", "virtualbox", "smb", "vmware", "parallels")
_MEMORY = re.compile(r"(\d+)([mg])(?:i?b)?", re.IGNORECASE)
_DISK = re.compile(r"(\d{1,6})g(?:i?b)?", re.IGNORECASE)
_DISK_MAX = 65536
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?")
_KEY = re.compile(r"\s*([\w.\"'-]+)\s*=")
_TOML_PLACE = re.compile(r" \(at line (\d+), column \d+\)$")
ADDRESS = re.compile(r"ssh://(?P<user>[\w.-]+)@(?P<host>[\w.-]+|\[[0-9a-fA-F:]+\])(?::(?P<port>\d{1,5}))?/?")
_HOST_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}|SHA256:[A-Za-z0-9+/]{43}")
_MEMORY_MIN = 256


class Mistake(NamedTuple):
    """One thing that is wrong in a file."""

    file: str
    line: int
    key: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        subject = f"{self.key}: " if self.key else ""
        return f"{place}: {subject}{self.text}" + (f" ({self.hint})" if self.hint else "")


class Wrong(Exception):  # noqa: N818 - it never leaves this file
    """A value that a check does not take."""


class Reading:
    """One file being checked."""

    def __init__(self, file: str, text: str, mistakes: list[Mistake]) -> None:
        self.file = file
        self._lines = _lines(text)
        self._mistakes = mistakes

    def wrong(self, path: tuple[str, ...], text: str, hint: str = "") -> None:
        """Note a mistake at a key."""
        line = self._lines.get(path) or self._lines.get(path[:-1]) or 0
        self._mistakes.append(Mistake(self.file, line, ".".join(path), text, hint))

    def unknown(self, path: tuple[str, ...], known: Mapping[str, Any] | tuple[str, ...]) -> None:
        """Note a key that does not exist."""
        close = difflib.get_close_matches(path[-1], list(known), n=1)
        hint = f"did you mean {close[0]}?" if close else "known here: " + ", ".join(known)
        self.wrong(path, "there is no such key", hint)


Shape = Callable[[Reading, dict[str, Any]], dict[str, Any]]


def read(file: str, shape: Shape, mistakes: list[Mistake]) -> dict[str, Any]:
    """The checked content of a file, {} when there is none; mistakes are appended."""
    try:
        with open(file, "rb") as stream:
            text = stream.read().decode()
        document = tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        mistakes.append(Mistake(file, 0, "", "it is not UTF-8"))
        return {}
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        said = _TOML_PLACE.sub("", str(error))
        mistakes.append(Mistake(file, int(place[1]) if place else 0, "", said[:1].lower() + said[1:]))
        return {}
    return shape(Reading(file, text, mistakes), document)


def user_shape(reading: Reading, document: dict[str, Any]) -> dict[str, Any]:
    """machines.toml."""
    checked: dict[str, Any] = {"machines": {}}
    for key, value in document.items():
        if key == "default":
            if isinstance(value, str) and places.NAME.fullmatch(value):
                checked["default"] = value
            else:
                reading.wrong((key,), "it is the name of a machine")
        elif key == "machines" and isinstance(value, dict):
            checked["machines"] = {
                name: _machine(reading, ("machines", name), wishes) for name, wishes in value.items()
            }
        else:
            reading.unknown((key,), ("default", "machines"))
    return checked


def project_shape(reading: Reading, document: dict[str, Any]) -> dict[str, Any]:
    """devbox.toml, of which only `[machine]` is looked at here."""
    if "machine" not in document:
        return {}
    return {"machine": _machine(reading, ("machine",), document["machine"])}


def _machine(reading: Reading, path: tuple[str, ...], wishes: Any) -> dict[str, Any]:
    if len(path) > 1 and not places.NAME.fullmatch(path[-1]):
        reading.wrong(path, "it cannot be a machine's name", "up to 31 of a-z, 0-9 and -")
    if not isinstance(wishes, dict):
        reading.wrong(path, "it is a table of settings")
        return {}
    checked = {}
    for key, value in wishes.items():
        if key not in _CHECKS:
            reading.unknown((*path, key), _CHECKS)
            continue
        try:
            checked[key] = _CHECKS[key](value)
        except Wrong as wrong:
            reading.wrong((*path, key), str(wrong))
    box = checked.get("box", "")
    trusted = box.startswith("https://") and box.endswith(".json")  # it names the sha256 itself
    if box.startswith(("http://", "https://")) and not trusted and not wishes.get("box_sha256"):
        reading.wrong((*path, "box"), "a box from the network needs its box_sha256")
    return checked


def check(wishes: Mapping[str, Any]) -> dict[str, Any]:
    """Values checked as the files' are; UsageError for the first that is wrong."""
    checked = {}
    for key, value in wishes.items():
        try:
            checked[key] = _CHECKS[key](value)
        except Wrong as wrong:
            raise UsageError(f"{key} {value}: {wrong}") from wrong
    return checked


def _words(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value in words:
            return str(value)
        close = difflib.get_close_matches(str(value), words, n=1)
        raise Wrong(
            f"it is {', '.join(words[:-1])} or {words[-1]}" + (f": did you mean {close[0]}?" if close else "")
        )

    return check


def _number(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Wrong(f"it is a whole number from {low} to {high}")
        return value

    return check


def _memory(value: Any) -> int:
    match = _MEMORY.fullmatch(value) if isinstance(value, str) else None
    size = int(match[1]) * (1024 if match[2].lower() == "g" else 1) if match else 0
    if size < _MEMORY_MIN:
        raise Wrong(f'it is a size of at least {_MEMORY_MIN}m, like "2g"')
    return size


def _disk(value: Any) -> int:
    match = _DISK.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 0 < int(match[1]) <= _DISK_MAX:
        raise Wrong('it is a size in GiB, like "40g"')
    return int(match[1])


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Wrong("it is a text without control characters")
    return os.path.expanduser(value)


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.fullmatch(value):
        raise Wrong("it is 64 hexadecimal digits")
    return value


def _shares(value: Any) -> tuple[Share, ...]:
    if not isinstance(value, list):
        raise Wrong('it is a list: ["HOST", "HOST:GUEST"]')
    shares = tuple(share(text, sys.platform) for text in value)
    try:
        mountmap.build(shares, sys.platform)
    except UsageError as error:
        raise Wrong(error.message) from error
    return shares


def share(text: Any, platform: str) -> Share:
    """HOST or HOST:GUEST; the colon of a drive separates nothing."""
    host, _, guest = _text(text).rpartition(":")
    if len(host) <= 1:
        host, guest = _text(text), ""
    if not hostpath.is_absolute(host, platform):
        raise Wrong(f"{text!r} has no absolute path of this host")
    host = hostpath.absolute(host, "", platform)
    guest = guest or hostpath.default_guest(host, platform)
    if not guest.startswith("/") or "/.." in guest:
        raise Wrong(f"{text!r} has no absolute path of the machine: write HOST:GUEST")
    return Share(host, guest.rstrip("/") or "/")


def _address(value: Any) -> str:
    if not isinstance(value, str) or not ADDRESS.fullmatch(value):
        raise Wrong("it is ssh://USER@HOST or ssh://USER@HOST:PORT")
    return value


def _host_key(value: Any) -> str:
    if not isinstance(value, str) or not _HOST_KEY.fullmatch(value):
        raise Wrong('it is "ssh-ed25519 AAAA...", as in known_hosts, or a fingerprint SHA256:...')
    return value


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "provider": _words(*PROVIDERS),
    "cpus": _number(1, 256),
    "memory": _memory,
    "disk": _disk,
    "box": _text,
    "box_sha256": _sha256,
    "acceleration": _words("auto", "none"),
    "connection": _words("system", "session"),
    "start": _words("ask", "always", "never"),
    "shares": _shares,
    "mirrors": _shares,
    "share_kind": _words("auto", *SHARE_KINDS),
    "address": _address,
    "key": _text,
    "host_key": _host_key,
}


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Where tables and keys are; tomllib does not tell. A miss costs a line number, nothing else."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            table = tuple(_split(header[1]))
            found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_split(key[1])), number)
    return found


def _split(dotted: str) -> Iterator[str]:
    return (part.strip().strip("\"'") for part in dotted.split("."))
