"""How a pull or push goes, as docker shows it: lines that change on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import threading
import time
from typing import TextIO

from devbox.cli.escape import escape
from devbox.cli.units import human_size
from devbox.image.progress import Progress
from devbox.system import terminal

_SILENT = ("Preparing", "Downloading", "Extracting", "Pushing")
_REDRAW_SECONDS = 0.1
_BAR = 25


def progress(stream: TextIO, *, quiet: bool = False) -> Progress:
    """What shows a transfer on a stream."""
    if quiet:
        return Progress()
    return Live(stream) if stream.isatty() else Lines(stream)


class Lines(Progress):
    """A line for each step that matters."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def note(self, words: str) -> None:
        """Say a line about the whole."""
        self._stream.write(escape(words) + "\n")
        self._stream.flush()

    def state(self, key: str, words: str, total: int = 0) -> None:
        """Say what happens to a part."""
        if words not in _SILENT:
            self.note(f"{key}: {words}")


class _Part:
    """A line of the display."""

    def __init__(self) -> None:
        self.words = ""
        self.total = 0
        self.done = 0
        self.begun = 0.0

    def text(self, key: str, width: int) -> str:
        line = f"{key}: {self.words}"
        if self.begun:
            line += f" {self._measure()}"
        return escape(line)[: width - 1]

    def _measure(self) -> str:
        rate = self.done / max(time.monotonic() - self.begun, 0.001)
        speed = f"{human_size(rate)}/s"
        if not self.total:
            return f" {human_size(self.done)}  {speed}"
        filled = min(_BAR, self.done * _BAR // self.total)
        bar = "=" * filled + ">" * (filled < _BAR)
        return f"[{bar:<{_BAR}}]  {human_size(self.done)}/{human_size(self.total)}  {speed}"


class Live(Progress):
    """A line for each part, rewritten in place."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._parts: dict[str, _Part] = {}
        self._lock = threading.Lock()
        self._height = 0
        self._drawn = 0.0

    def note(self, words: str) -> None:
        """Say a line below what was drawn; the next parts begin below it."""
        with self._lock:
            self._draw()
            self._parts.clear()
            self._height = 0
            self._stream.write(escape(words) + "\n")
            self._stream.flush()

    def state(self, key: str, words: str, total: int = 0) -> None:
        """Change a part's words."""
        with self._lock:
            part = self._parts.setdefault(key, _Part())
            part.words, part.total, part.done = words, total, 0
            part.begun = time.monotonic() if words in ("Downloading", "Pushing") else 0.0
            self._draw()

    def advance(self, key: str, size: int) -> None:
        """Count bytes, and show them now and then."""
        with self._lock:
            self._parts.setdefault(key, _Part()).done += size
            if time.monotonic() - self._drawn > _REDRAW_SECONDS:
                self._draw()

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        rows, columns = terminal.size(self._stream.fileno())
        shown = list(self._parts.items())[-max(rows - 1, 1) :] if rows else list(self._parts.items())
        lines = [f"\x1b[2K{part.text(key, columns or 80)}\n" for key, part in shown]
        up = f"\x1b[{self._height}A" if self._height else ""
        self._stream.write(up + "".join(lines))
        self._stream.flush()
        self._height = len(lines)
