"""The progress of a build, for people and for programs; everything goes to stderr."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from typing import IO, Protocol

from devbox.build.events import Ended, Event, Printed, Started
from devbox.cli.escape import escape

_WORDS = {"done": "DONE", "cached": "CACHED", "failed": "ERROR", "stopped": "CANCELED"}
_LINES_SHOWN = 6
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_FRAME_SECONDS = 0.1
_WIDTH_MIN = 20


class Progress(Protocol):
    """Shows events; called from any thread."""

    def __call__(self, event: Event) -> None: ...  # noqa: D102

    def close(self) -> None:
        """Leave the terminal as it is to be."""


def choose(form: str, stream: IO[str]) -> Progress:
    """The progress for --progress; a terminal that cannot move its cursor gets lines."""
    if form == "quiet":
        return Quiet()
    if form in ("rawjson", "json"):
        return Raw(stream)
    movable = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if form == "tty" or (form == "auto" and movable):
        return Screen(stream)
    return Plain(stream)


class Quiet:
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Plain:
    """Lines, each with its step's number, as BuildKit writes them."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._begun: dict[int, float] = {}
        self._rest: dict[int, str] = {}
        self._last = 0

    def __call__(self, event: Event) -> None:
        """Write what there is to say."""
        with self._lock:
            match event:
                case Started():
                    self._begun[event.number] = event.at
                    self._write(event.number, [escape(line) for line in event.title.split("\n")])
                case Printed():
                    self._print(event)
                case Ended():
                    self._end(event)
            self._stream.flush()

    def close(self) -> None:
        """Nothing more to write."""

    def _print(self, event: Printed) -> None:
        text = self._rest.pop(event.number, "") + event.data.decode(errors="replace")
        *lines, rest = text.replace("\r\n", "\n").split("\n")
        if rest:
            self._rest[event.number] = rest
        seconds = event.at - self._begun[event.number]
        self._write(event.number, [f"{seconds:.3f} {_shown(line)}" for line in lines])

    def _end(self, event: Ended) -> None:
        seconds = event.at - self._begun[event.number]
        if rest := self._rest.pop(event.number, ""):
            self._write(event.number, [f"{seconds:.3f} {_shown(rest)}"])
        word = _WORDS[event.outcome]
        self._write(event.number, [f"{word} {seconds:.1f}s" if event.outcome == "done" else word])

    def _write(self, number: int, lines: list[str]) -> None:
        if self._last not in (0, number):
            self._stream.write("\n")
        self._last = number
        self._stream.writelines(f"#{number} {line}\n" for line in lines)


class Raw:
    """A JSON document a line."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Write the event."""
        fields = {"event": type(event).__name__.lower(), **event._asdict()}
        if isinstance(event, Printed):
            fields["data"] = event.data.decode(errors="replace")
        with self._lock:
            self._stream.write(json.dumps(fields) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Nothing more to write."""


class _Row:
    def __init__(self, event: Started) -> None:
        self.title = escape(event.title.split("\n", 1)[0])
        self.begun = event.at
        self.lines: list[str] = []
        self.rest = ""

    def drawn(self, width: int) -> list[str]:
        seconds = f"{time.time() - self.begun:.1f}s"
        head = f" => {self.title[: width - len(seconds) - 6]} {seconds}"
        return [head, *(f" => => # {line}"[: width - 1] for line in self.lines)]

    def feed(self, text: str) -> None:
        *lines, self.rest = (self.rest + text).replace("\r\n", "\n").split("\n")
        self.lines = [*self.lines, *map(_shown, lines)][-_LINES_SHOWN:]


class Screen:
    """What has ended scrolls by; what is under way is drawn below it, with its last lines."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._rows: dict[int, _Row] = {}
        self._drawn = 0
        self._closed = threading.Event()
        self._drawer: threading.Thread | None = None

    def __call__(self, event: Event) -> None:
        """Take note; what has ended is written at once."""
        with self._lock:
            match event:
                case Started():
                    self._rows[event.number] = _Row(event)
                    self._begin_to_draw()
                case Printed():
                    self._rows[event.number].feed(event.data.decode(errors="replace"))
                case Ended():
                    self._end(self._rows.pop(event.number), event)

    def close(self) -> None:
        """Take the drawing away."""
        self._closed.set()
        if self._drawer is not None:
            self._drawer.join()
        with self._lock:
            self._erase()
            self._stream.flush()

    def _begin_to_draw(self) -> None:
        if self._drawer is None:
            self._drawer = threading.Thread(target=self._draw_on, daemon=True)
            self._drawer.start()

    def _draw_on(self) -> None:
        while not self._closed.wait(_FRAME_SECONDS):
            with self._lock:
                self._erase()
                self._draw()
                self._stream.flush()

    def _end(self, row: _Row, event: Ended) -> None:
        self._erase()
        word = "" if event.outcome == "done" else f"{_WORDS[event.outcome]} "
        if event.outcome == "failed":
            self._stream.writelines(f"   {line}\n" for line in row.lines)
        self._stream.write(f" => {word}{row.title} {event.at - row.begun:.1f}s\n")
        self._draw()
        self._stream.flush()

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def _draw(self) -> None:
        columns, height = _size(self._stream)
        width = max(_WIDTH_MIN, columns)
        lines = [line for row in self._rows.values() for line in row.drawn(width)][: max(1, height - 1)]
        self._stream.writelines(line + "\n" for line in lines)
        self._drawn = len(lines)


def _shown(line: str) -> str:
    """A program's line as a terminal would leave it, without colours and without power over ours."""
    return escape(_COLOURS.sub("", line).rstrip("\r").rpartition("\r")[2])


def _size(stream: IO[str]) -> tuple[int, int]:
    """Columns and lines."""
    try:
        return os.get_terminal_size(stream.fileno())
    except OSError:
        return 80, 24
