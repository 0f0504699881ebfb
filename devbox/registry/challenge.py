"""WWW-Authenticate: what a registry wants of us."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9_-]*)(?:\s+|$)")
_PARAMETER = re.compile(r'\s*([A-Za-z_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))\s*(?:,|$)')


class Challenge(NamedTuple):
    """One way to be let in."""

    scheme: str
    """lower case: basic, bearer"""
    parameters: Mapping[str, str]


def parse(header: str) -> list[Challenge]:
    """The challenges of a header, in order; what is malformed ends the list."""
    found = []
    position = 0
    while match := _SCHEME.match(header, position):
        position = match.end()
        parameters = {}
        while pair := _PARAMETER.match(header, position):
            parameters[pair[1].lower()] = re.sub(r"\\(.)", r"\1", pair[2]) if pair[2] is not None else pair[3]
            position = pair.end()
        found.append(Challenge(match[1].lower(), parameters))
        if position >= len(header):
            break
    return found
