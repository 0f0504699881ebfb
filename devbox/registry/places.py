"""Where a reference is looked for: containers' registries.conf with its mirrors, and docker's own names."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from devbox.errors import RefusedError, UsageError
from devbox.model.reference import DEFAULT_DOMAIN, Reference

_HUB = "registry-1.docker.io"
_SYSTEM = "/etc/containers/registries.conf"
_LOOPBACK = re.compile(r"(localhost|127(\.[0-9]+){3}|\[::1\])(:[0-9]+)?")
_LOCATION = re.compile(r"[A-Za-z0-9._-]+(:[0-9]+)?(/[a-z0-9._/-]+)?|\[[0-9a-fA-F:]+\](:[0-9]+)?(/[a-z0-9._/-]+)?")


class Endpoint(NamedTuple):
    """One place that may have a repository."""

    host: str
    """with its port, if it has one"""
    path: str
    """of the repository there"""
    insecure: bool = False
    """plain HTTP and certificates that nobody knows are taken"""
    mirror: bool = False

    @property
    def domain(self) -> str:
        """The name under which credentials are kept."""
        return DEFAULT_DOMAIN if self.host == _HUB else self.host


def endpoints(reference: Reference, environ: Mapping[str, str], *, insecure: bool = False) -> list[Endpoint]:
    """Where to pull from, mirrors first, the registry itself last; RefusedError for one that is blocked."""
    entry = _entry(f"{reference.domain}/{reference.path}", environ)
    itself = _located(reference, entry, entry, insecure=insecure, mirror=False)
    if entry.get("blocked") is True:
        raise RefusedError(
            f"registry {reference.domain} is blocked", hint=f"its entry in {_path(environ)} says 'blocked = true'"
        )
    return [*_mirrors(reference, entry, insecure=insecure), itself]


def endpoint(reference: Reference, environ: Mapping[str, str], *, insecure: bool = False) -> Endpoint:
    """Where to push to."""
    return endpoints(reference, environ, insecure=insecure)[-1]


def host_of(domain: str) -> str:
    """Where docker.io lives; other registries live where their name says."""
    return _HUB if domain == DEFAULT_DOMAIN else domain


def is_loopback(host: str) -> bool:
    """Whether it is on this machine, which docker takes for insecure by nature."""
    return _LOOPBACK.fullmatch(host) is not None


def _mirrors(reference: Reference, entry: Mapping[str, Any], *, insecure: bool) -> Iterator[Endpoint]:
    for mirror in entry.get("mirror") or ():
        when = mirror.get("pull-from-mirror") or ("digest-only" if entry.get("mirror-by-digest-only") else "all")
        if when == "all" or when == ("digest-only" if reference.digest else "tag-only"):
            yield _located(reference, entry, mirror, insecure=insecure, mirror=True)


def _located(
    reference: Reference, entry: Mapping[str, Any], place: Mapping[str, Any], *, insecure: bool, mirror: bool
) -> Endpoint:
    """The reference with the entry's prefix replaced by the location of `place`."""
    whole = f"{reference.domain}/{reference.path}"
    prefix = str(entry.get("prefix") or entry.get("location") or "")
    location = str(place.get("location") or "")
    if location and prefix.startswith("*."):
        whole = location + whole[len(reference.domain) :]
    elif location:
        whole = location.rstrip("/") + whole[len(prefix) :]
    domain, _, path = whole.partition("/")
    host = host_of(domain)
    return Endpoint(host, path, insecure or place.get("insecure") is True or is_loopback(host), mirror)


def _entry(whole: str, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """The [[registry]] table with the longest prefix of a repository's name."""
    found: Mapping[str, Any] = {}
    length = 0
    for table in _tables(environ):
        prefix = str(table.get("prefix") or table.get("location") or "")
        if len(prefix) > length and _has_prefix(whole, prefix):
            found, length = table, len(prefix)
    return found


def _has_prefix(whole: str, prefix: str) -> bool:
    if prefix.startswith("*."):
        return whole.partition("/")[0].endswith(prefix[1:])
    return whole == prefix or whole.startswith(prefix.rstrip("/") + "/")


def _path(environ: Mapping[str, str]) -> str:
    own = environ.get("CONTAINERS_REGISTRIES_CONF")
    if own:
        return own
    home = f"{environ.get('HOME', '')}/.config/containers/registries.conf"
    return home if os.path.exists(home) else _SYSTEM


def _tables(environ: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    path = _path(environ)
    paths = [path]
    if "CONTAINERS_REGISTRIES_CONF" not in environ and os.path.isdir(path + ".d"):
        paths += sorted(f"{path}.d/{name}" for name in os.listdir(path + ".d") if name.endswith(".conf"))
    for each in paths:
        for table in _read(each).get("registry") or ():
            _check(table, each)
            yield table


def _read(path: str) -> dict[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def _check(table: Any, path: str) -> None:
    if not isinstance(table, dict) or not isinstance(table.get("mirror") or [], list):
        raise UsageError(f"{path} has a [[registry]] that is no table")
    for each in (table, *(table.get("mirror") or ())):
        location = each.get("location") if isinstance(each, dict) else None
        if location is not None and not _LOCATION.fullmatch(str(location)):
            raise UsageError(f"{path} has an impossible location: {str(location)[:100]!r}")
