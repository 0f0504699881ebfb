"""The keys that leave a container running: docker's --detach-keys."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from devbox.errors import UsageError

DEFAULT = b"\x10\x11"
"""ctrl-p,ctrl-q"""
_CONTROLS = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


def parse(text: str) -> bytes:
    """The bytes of "ctrl-p,ctrl-q", "ctrl-@", "a,b" or "DEL"; the default for an empty text."""
    return b"".join(_key(word, text) for word in text.split(",")) if text else DEFAULT


def _key(word: str, text: str) -> bytes:
    if word == "DEL":
        return b"\x7f"
    if len(word) == 1 and word.isascii():
        return word.encode()
    name = word.lower().removeprefix("ctrl-")
    if len(name) == 1 and name in _CONTROLS and name != word:
        return bytes([_CONTROLS.index(name)])
    raise UsageError(
        f"invalid detach keys {text!r}: unknown key {word!r}",
        hint="write single characters or ctrl-X, separated by commas: ctrl-p,ctrl-q",
    )


class Filter:
    """Input on its way to a terminal, in which the detach keys are looked for.

    What may be the beginning of the keys is held back until the next key tells.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""
        self.detached = False

    def feed(self, data: bytes) -> bytes:
        """What goes on to the container; sets `detached` when the keys are complete, and drops the rest."""
        data = self._held + data
        end = data.find(self._keys)
        if end >= 0:
            self.detached = True
            self._held = b""
            return data[:end]
        self._held = data[len(data) - self._begun(data) :]
        return data[: len(data) - len(self._held)]

    def _begun(self, data: bytes) -> int:
        for length in range(min(len(self._keys) - 1, len(data)), 0, -1):
            if data.endswith(self._keys[:length]):
                return length
        return 0
