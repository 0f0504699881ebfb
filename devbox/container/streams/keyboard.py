"""Our terminal while it is somebody else's: every key goes to the container, Ctrl-C and Ctrl-Z too."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping

from devbox.system import signals, terminal

_FATAL = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_CAUGHT = (*_FATAL, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)


@contextlib.contextmanager
def joined(resize: Callable[[int, int], None]) -> Iterator[Mapping[int, Callable[[], None]]]:
    """Raw mode for the block, and what a `pump` has to watch meanwhile.

    A new size goes to `resize`. A stop from outside gives the terminal back until we are continued, and a signal
    that ends us leaves it as it was.
    """
    with signals.arriving(_CAUGHT) as arrivals, terminal.raw(0) as ours:

        def act() -> None:
            for number in os.read(arrivals, 64):
                if number in _FATAL:
                    ours.suspend()
                    signals.die_of(number)
                elif number == signal.SIGTSTP:
                    ours.suspend()
                    signals.stop_here(number)
                if number != signal.SIGWINCH:
                    ours.resume()
                resize(*terminal.size(0))

        yield {arrivals: act}
