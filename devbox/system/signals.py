"""Signals as bytes on a descriptor, so that a poll loop sees them in order with everything else."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@contextlib.contextmanager
def arriving(numbers: Iterable[int]) -> Iterator[int]:
    """Catch these signals for the block; each puts its number as one byte into the yielded descriptor.

    What was set before comes back afterwards. Only in the main thread.
    """
    source, sink = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    before = {}
    previous = signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
    try:
        for number in numbers:
            before[number] = signal.signal(number, _noted)
        yield source
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous)
        os.close(source)
        os.close(sink)


class Ended(BaseException):
    """A signal that ends this process, while there is something to be taken back first."""


@contextlib.contextmanager
def taking_back() -> Iterator[None]:
    """Let SIGTERM, SIGHUP and Ctrl-C unwind the block as an exception, once; a second one does not disturb that.

    After the block the process dies of the signal, of Ctrl-C as always. One that is ignored stays so. Only in the
    main thread.
    """
    before = {number: signal.getsignal(number) for number in _ENDING}
    handled = [number for number, handler in before.items() if handler != signal.SIG_IGN]

    def end(number: int, _frame: FrameType | None) -> None:
        for other in handled:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt if number == signal.SIGINT else Ended(number)

    for number in handled:
        signal.signal(number, end)
    try:
        yield
    except Ended as ended:
        die_of(*ended.args)
    finally:
        for number in handled:
            signal.signal(number, before[number])


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The wake-up descriptor has it already."""


def die_of(number: int) -> None:
    """End this process by the signal, as if nobody had caught it."""
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)


def stop_here(number: int) -> None:
    """Stop this process as an uncaught SIGTSTP would; returns when it is continued."""
    handler = signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.signal(number, handler)
