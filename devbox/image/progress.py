"""How a transfer goes, told to whoever shows it."""

from __future__ import annotations


class Progress:
    """Told of every step; this one keeps quiet. May be called from several threads."""

    def note(self, words: str) -> None:
        """Say a line about the whole."""

    def state(self, key: str, words: str, total: int = 0) -> None:
        """Say what happens to a part; `total` bytes are to come or go, 0 when that is not known."""

    def advance(self, key: str, size: int) -> None:
        """Count bytes of a part that came or went; negative when they must come again."""


def short(digest: str) -> str:
    """The 12 digits by which a layer is named to people."""
    return digest.removeprefix("sha256:")[:12]
