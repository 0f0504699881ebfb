"""Our own terminal: raw mode that is always undone, and its size."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import termios
from collections.abc import Iterator

_INPUT = 0
_OUTPUT = 1
_CONTROL = 2
_LOCAL = 3
_CHARACTERS = 6


class Raw:
    """A terminal that hands over every key as it comes; `suspend` and `resume` surround a stop (Ctrl-Z)."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.before = termios.tcgetattr(fd)

    def resume(self) -> None:
        """Raw mode, whatever the mode is now."""
        mode = termios.tcgetattr(self.fd)
        mode[_INPUT] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        mode[_OUTPUT] &= ~termios.OPOST
        mode[_CONTROL] = mode[_CONTROL] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        mode[_LOCAL] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        characters = list(mode[_CHARACTERS])
        characters[termios.VMIN], characters[termios.VTIME] = 1, 0
        mode[_CHARACTERS] = characters
        termios.tcsetattr(self.fd, termios.TCSANOW, mode)

    def suspend(self) -> None:
        """The mode from before; a terminal that has gone away needs none."""
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self.fd, termios.TCSANOW, self.before)


@contextlib.contextmanager
def raw(fd: int) -> Iterator[Raw]:
    """Raw mode for the block; the old mode comes back however the block ends."""
    terminal = Raw(fd)
    try:
        terminal.resume()
        yield terminal
    finally:
        terminal.suspend()


def size(fd: int) -> tuple[int, int]:
    """Rows and columns; (0, 0) when `fd` is no terminal."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:
        return 0, 0
    return rows, columns
