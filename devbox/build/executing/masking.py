"""Secrets in what a program prints, replaced by stars (pure)."""

from __future__ import annotations

from collections.abc import Iterable

_STARS = b"***"
_SHORTEST = 4
"""bytes: what is shorter would hide half of any output"""


class Masker:
    """Replaces secrets in a stream, also where one comes in pieces."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        words = {part.strip() for secret in secrets for part in (secret, *secret.splitlines())}
        self._words = sorted((word for word in words if len(word) >= _SHORTEST), key=len, reverse=True)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What can be shown by now: the beginning of what may become a secret is held back."""
        if not self._words:
            return data
        text = self._masked(self._held + data)
        cut = len(text) - self._beginning(text)
        self._held = text[cut:]
        return text[:cut]

    def rest(self) -> bytes:
        """What was held back, at the end."""
        held, self._held = self._held, b""
        return held

    def _masked(self, text: bytes) -> bytes:
        for word in self._words:
            text = text.replace(word, _STARS)
        return text

    def _beginning(self, text: bytes) -> int:
        """How many bytes at the end are the beginning of a secret."""
        longest = 0
        for word in self._words:
            for length in range(min(len(word) - 1, len(text)), longest, -1):
                if text.endswith(word[:length]):
                    longest = length
                    break
        return longest
