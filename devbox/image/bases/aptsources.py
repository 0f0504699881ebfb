"""This machine's apt configuration: where it gets Debian's packages from, and how."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from devbox.system import process

_RELEASES = (
    *("oldoldstable", "oldstable", "stable", "testing", "unstable", "sid"),
    *("buster", "bullseye", "bookworm", "trixie", "forky", "duke"),
)
_ROLLING = ("testing", "unstable", "sid")
_EXAMPLE = "/usr/share/doc/apt/examples/sources.list"
"""where the package apt says what Debian's own archive is called, so that nobody else need know"""
_KEPT = re.compile(
    r"Acquire::(?:(?:http|https|ftp|tor|cdrom|mirror)(?:::.*)?|Check-\S*|Retries.*|Force\S*|Max-\S*|Send\S*"
    r"|AllowInsecure\S*|Queue\S*|CompressionTypes\S*|GzipIndexes|Languages\S*|PDiffs\S*|By-Hash) "
)
_NETRC = 'Dir::Etc::netrc "/etc/apt/auth.conf";\nDir::Etc::netrcparts "/etc/apt/auth.conf.d";\n'


class Source(NamedTuple):
    """One archive and suite that apt reads."""

    uri: str
    suite: str
    components: tuple[str, ...]


class _Archives(NamedTuple):
    """Where the packages of a release are, and those with its security fixes; "" where that is not known."""

    main: str
    security: str


def for_release(release: str) -> list[str]:
    """Lines of a sources.list for a release, with the mirrors that this machine uses for Debian.

    Empty when this machine knows of no archive: mmdebstrap has one of its own then.
    """
    own = _archives(_configured())
    debians = _archives(one_line(_read(_EXAMPLE)))
    if not own.main:
        return _lines(release, debians)
    return _lines(release, own._replace(security=own.security or _beside(own.main) or debians.security))


def official(release: str, tree: str) -> list[str]:
    """The same with Debian's own archive, for the image in `tree`: a mirror's address may hold a password."""
    return _lines(release, _archives(one_line(_read(tree + _EXAMPLE))))


def _archives(sources: Iterable[Source]) -> _Archives:
    known = [source for source in sources if "main" in source.components]
    return _Archives(
        next((source.uri for source in known if source.suite in _RELEASES), ""),
        next((source.uri for source in known if _base(source.suite, "-security") in _RELEASES), ""),
    )


def _lines(release: str, archives: _Archives) -> list[str]:
    if not archives.main:
        return []
    lines = [f"deb {archives.main} {release} main"]
    if release not in _ROLLING:
        lines.append(f"deb {archives.main} {release}-updates main")
        lines += [f"deb {archives.security} {release}-security main"] if archives.security else []
    return lines


def _beside(archive: str) -> str:
    """A mirror of /debian usually has /debian-security beside it."""
    trimmed = archive.rstrip("/")
    return trimmed + "-security" if trimmed.endswith("/debian") else ""


def _base(suite: str, suffix: str) -> str:
    return suite.removesuffix(suffix) if suite.endswith(suffix) else ""


def state(lines: Sequence[str]) -> list[str]:
    """What apt knows of these archives: digests of the release files that it fetched last."""
    import hashlib

    found = []
    for line in lines:
        _, uri, suite, *_ = line.split()
        name = (
            uri.partition("://")[2].rpartition("@")[2].rstrip("/").replace("/", "_") + f"_dists_{suite}_InRelease"
        )
        path = f"/var/lib/apt/lists/{name}"
        if os.path.isfile(path):
            with open(path, "rb") as file:
                found.append(hashlib.sha256(file.read()).hexdigest())
    return found


def options() -> str:
    """How this machine reaches archives (proxies, certificates, checks), as an apt.conf."""
    try:
        dump = process.run(("apt-config", "dump")).output.decode(errors="replace")
    except process.ProcessError:
        return _NETRC
    return _NETRC + "".join(line + "\n" for line in dump.splitlines() if _KEPT.match(line))


def _configured() -> Iterator[Source]:
    for path in ("/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*.list"))):
        yield from one_line(_read(path))
    for path in sorted(glob.glob("/etc/apt/sources.list.d/*.sources")):
        yield from deb822(_read(path))


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def one_line(text: str) -> Iterator[Source]:
    """Sources of a file in the old style."""
    for line in text.splitlines():
        words = re.sub(r"\[[^\]]*\]", "", line.partition("#")[0]).split()
        if len(words) >= 4 and words[0] == "deb":
            yield Source(words[1], words[2], tuple(words[3:]))


def deb822(text: str) -> Iterator[Source]:
    """Sources of a file in deb822 style; disabled ones are left out."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false"):
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri, suite, tuple(fields.get("components", "").split()))


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    key = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[key] = fields.get(key, "") + " " + line.strip()
        else:
            key, _, value = line.partition(":")
            key = key.strip().lower()
            fields[key] = value.strip()
    return fields
