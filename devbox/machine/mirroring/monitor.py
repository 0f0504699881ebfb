"""What Unison asks of a program that watches files (`unison-fsmonitor`), on either side of a mirror.

Lines of words, each %-encoded: Unison names the directories that it scans (START, DIR, LINK), asks what has
changed since (CHANGES) and whether anything has (WAIT). What is left out is never scanned, so it is not watched.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import select
import threading
import time
from urllib.parse import quote_from_bytes, unquote_to_bytes

from devbox.machine.mirroring import inotify
from devbox.machine.mirroring.inotify import Inotify, Notice

_QUIET = 0.02
"""seconds without a change after which it is told: a file that is being written gets its last bytes"""
_PATIENCE = 0.3
_READ = 1 << 16
_SAFE = "/"
_COPY = "(conflict_on_"
"""in the name of what Unison makes and the other side has not got"""


class Monitor:
    """One conversation with Unison about one directory."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._inotify = Inotify()
        self._lock = threading.Lock()
        self._paths: dict[int, str] = {}
        self._changed: dict[str, None] = {}
        self._first = self._last = 0.0
        self._own: set[int] = set()
        self._root = self._start = self._waiting = ""
        self.round = 0
        """how often Unison has begun to look at what has changed"""

    def run(self) -> None:
        """Until Unison ends."""
        self._say("VERSION 1")
        rest = b""
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        poll.register(self._inotify.fd, select.POLLIN)
        try:
            while True:
                ready = dict(poll.poll(self._patience()))
                with self._lock:
                    self._look()
                if self._source in ready:
                    data = os.read(self._source, _READ)
                    if not data:
                        return
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self._obey(line)
                self._tell()
        except (BrokenPipeError, ConnectionResetError):
            return
        finally:
            self._inotify.close()

    def covered(self) -> int:
        """The round with whose end everything that has changed here until now is on the other side."""
        with self._lock:
            self._look()
            return max(1, self.round + bool(self._changed))

    def _patience(self) -> int | None:
        if not self._waiting or not self._changed:
            return None
        return max(1, round(1000 * (self._due() - time.monotonic())))

    def _due(self) -> float:
        return min(self._last + _QUIET, self._first + _PATIENCE)

    def _tell(self) -> None:
        if self._waiting and self._changed and time.monotonic() >= self._due():
            self._say(f"CHANGES {self._waiting}")
            self._waiting = ""

    def _obey(self, line: bytes) -> None:
        command, *words = line.decode("ascii", "replace").split(" ")
        if command == "WAIT":
            self._waiting = words[0]
            return
        self._waiting = ""
        match command:
            case "START":
                self._root, self._start = _path(words[1]), _path(words[2])
                self._watch("")
                self._say("OK")
            case "DIR" | "LINK":
                self._watch(_path(words[0]))
                self._say("OK")
            case "VERSION" | "RESET":
                self.round += 1
            case "CHANGES":
                self._hand_over()
            case _:
                pass

    def _watch(self, below: str) -> None:
        path = "/".join(part for part in (self._start, below) if part)
        try:
            number = self._inotify.watch(os.path.join(self._root, path))
        except (FileNotFoundError, NotADirectoryError):  # a file, or gone in the meantime, which Unison will see
            return
        except OSError as error:
            self._say(f"ERROR {_word(f'{error.filename}: {error.strerror}')}")
            return
        self._paths[number] = path

    def _hand_over(self) -> None:
        with self._lock:
            self._look()
            changed, self._changed = self._changed, {}
            self.round += 1
        self._say("\n".join([*(f"RECURSIVE {_word(path)}" for path in changed), "DONE"]))

    def _look(self) -> None:
        for notice in self._inotify.read():
            self._note(notice)

    def _note(self, notice: Notice) -> None:
        path = self._paths.get(notice.watch, "")
        if notice.mask & inotify.IGNORED:
            self._paths.pop(notice.watch, None)
            return
        if not notice.mask & inotify.OVERFLOW:
            if self._is_unisons(notice):
                return
            path = f"{path}/{notice.name}" if path and notice.name else path or notice.name
        self._last = time.monotonic()
        self._first = self._first if self._changed else self._last
        self._changed[path] = None

    def _is_unisons(self, notice: Notice) -> bool:
        """What it brings from the other side it makes under a name of its own, and renames."""
        if notice.name.startswith(".unison.") and notice.name.endswith(".unison.tmp"):
            if notice.mask & inotify.MOVED_FROM:
                self._own.add(notice.cookie)
            return True
        if notice.mask & inotify.MOVED_TO and notice.cookie in self._own:
            self._own.discard(notice.cookie)
            return _COPY not in notice.name
        return False

    def _say(self, text: str) -> None:
        view = memoryview(text.encode("ascii") + b"\n")
        while view:
            view = view[os.write(self._sink, view) :]


def _path(word: str) -> str:
    return os.fsdecode(unquote_to_bytes(word))


def _word(path: str) -> str:
    return quote_from_bytes(os.fsencode(path), safe=_SAFE)
