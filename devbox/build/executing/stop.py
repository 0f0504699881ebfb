"""How a build is stopped from another thread: programs at once, copying at the next file."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import threading
from collections.abc import Callable, Iterator


class StoppedError(Exception):
    """The build was stopped while this step was under way; its cause is told elsewhere."""


class Stop:
    """Set once, seen by every thread of a build."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._enders: list[Callable[[], None]] = []

    def now(self) -> None:
        """Stop what is under way and whatever would begin later."""
        with self._lock:
            self._stopped = True
            enders, self._enders = self._enders, []
        for end in enders:
            end()

    def check(self) -> None:
        """Raise StoppedError when the build was stopped."""
        if self._stopped:
            raise StoppedError

    @contextlib.contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """During the block a stop calls `end`, from the thread that stops."""
        with self._lock:
            self.check()
            self._enders.append(end)
        try:
            yield
        finally:
            with self._lock, contextlib.suppress(ValueError):
                self._enders.remove(end)
