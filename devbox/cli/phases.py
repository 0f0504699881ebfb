"""How a long operation on a machine goes on, told on stderr."""

from __future__ import annotations

import time
from typing import Any

from devbox.cli.context import Context
from devbox.machine.drivers.driver import Progress

_TOLD = {
    "box": "looking at the box",
    "boot": "starting the virtual machine and waiting for it",
    "address": "asking for its address",
    "host key": "checking its SSH host key",
    "disk": "letting its file system fill the disk",
    "shares": "mounting the shares",
}
_ALWAYS = ("wait", "clean up")


class Phases:
    """Tells how a long operation goes on, on stderr, and remembers how long each phase took."""

    def __init__(self, context: Context, *, verbose: bool, quiet: bool) -> None:
        self._context = context
        self._verbose = verbose
        self._quiet = quiet
        self._began = self._start = time.monotonic()
        self._phase = ""
        self.times: list[dict[str, Any]] = []

    def __call__(self, progress: Progress) -> None:
        """Take one step's news, as a `Report` does."""
        if progress.phase in _ALWAYS:
            self._say(progress.text)
            return
        if progress.phase != self._phase:
            self.end()
            self._phase, self._began = progress.phase, time.monotonic()
            if progress.phase in _TOLD:
                self._say(f"{progress.phase}: {_TOLD[progress.phase]}")
        if self._verbose and progress.text:
            self._context.err(f"  {progress.text}")

    def end(self) -> float:
        """The phase that runs is over; seconds since the beginning."""
        if self._phase:
            seconds = round(time.monotonic() - self._began, 1)
            self.times.append({"phase": self._phase, "seconds": seconds})
            if self._phase in _TOLD:
                self._say(f"{self._phase}: {seconds} s")
        self._phase = ""
        return round(time.monotonic() - self._start, 1)

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._context.err(text)
