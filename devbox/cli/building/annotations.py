"""--annotation of build, as docker buildx reads it: [TYPE[,TYPE...][[PLATFORM]]:]KEY=VALUE."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import re
from collections.abc import Iterable
from typing import NamedTuple

from devbox.build.planning.platforms import Platform, Platforms
from devbox.errors import UsageError
from devbox.image.annotating import Annotations

_KINDS = ("manifest", "manifest-descriptor", "index", "index-descriptor")
_HINT = f"write --annotation KEY=VALUE, or TYPE:KEY=VALUE with a TYPE of {', '.join(_KINDS)}"
_PREFIX = re.compile(r"([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?")


class _Entry(NamedTuple):
    kind: str
    platform: Platform | None
    """None: of all"""
    key: str
    value: str


class Wanted(NamedTuple):
    """All of a command line."""

    entries: tuple[_Entry, ...] = ()

    def of_image(self, platform: Platform) -> Annotations:
        """Those of the image for a platform."""
        return Annotations(self._of("manifest", platform), self._of("manifest-descriptor", platform))

    @property
    def of_index(self) -> dict[str, str]:
        """Those of the index of several images."""
        return self._of("index", None)

    @property
    def of_index_descriptor(self) -> dict[str, str]:
        """Those of the entry of that index in an archive's index.json."""
        return self._of("index-descriptor", None)

    def _of(self, kind: str, platform: Platform | None) -> dict[str, str]:
        return {
            each.key: each.value
            for each in self.entries
            if each.kind == kind and each.platform in (None, platform)
        }


def read(texts: Iterable[str], platforms: Platforms, *, several: bool) -> Wanted:
    """Read them all; UsageError for one of an index where one image alone is built and there is none."""
    entries = tuple(entry for text in texts for entry in _read(text, platforms))
    if not several and any(entry.kind.startswith("index") for entry in entries):
        raise UsageError(
            "there is no index to annotate: one platform is built",
            hint="manifest:KEY=VALUE is of the image; --platform linux/amd64,linux/arm64 makes an index",
        )
    return Wanted(entries)


def _read(text: str, platforms: Platforms) -> list[_Entry]:
    head, equals, value = text.partition("=")
    kinds, colon, key = head.rpartition(":")
    if not equals or not key or (colon and not kinds):
        raise UsageError(f"invalid --annotation {text!r}", hint=_HINT)
    found = []
    for word in kinds.split(",") if colon else ["manifest"]:
        match = _PREFIX.fullmatch(word)
        if match is None or match[1] not in _KINDS:
            raise UsageError(f"invalid --annotation {text!r}: there is no type {word!r}", hint=_HINT)
        platform = platforms.read(match[2]) if match[2] else None
        if platform is not None and match[1].startswith("index"):
            raise UsageError(f"invalid --annotation {text!r}: an index is of no platform", hint=_HINT)
        found.append(_Entry(match[1], platform, key, value))
    return found
