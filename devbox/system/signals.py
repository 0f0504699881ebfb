"""Signals as bytes on a descriptor, so that a poll loop sees them in order with everything else."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from types import FrameType


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
