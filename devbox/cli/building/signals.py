"""The signals that end a build: nothing of it stays, whichever it was."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import signal
from collections.abc import Iterator

from devbox.system.signals import die_of


class _Ended(BaseException):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Signals:
    """Raises in the main thread what a signal asks for, unless Ctrl-C is for somebody else right now."""

    def __init__(self) -> None:
        self._deaf = False

    def arrived(self, number: int, _: object) -> None:
        """The handler."""
        if self._deaf and number == signal.SIGINT:
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise _Ended(number)

    @contextlib.contextmanager
    def ignored(self) -> Iterator[None]:
        """Let Ctrl-C pass by during the block, which may be in any thread."""
        self._deaf = True
        try:
            yield
        finally:
            self._deaf = False


@contextlib.contextmanager
def ending_well() -> Iterator[Signals]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does; then this process dies of them."""
    signals = Signals()
    numbers = [signal.SIGTERM, signal.SIGHUP]
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        numbers.append(signal.SIGINT)
    before = {number: signal.signal(number, signals.arrived) for number in numbers}
    try:
        yield signals
    except _Ended as ended:
        die_of(ended.number)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
