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


def size(*descriptors: int) -> tuple[int, int]:
    """Rows and columns of the first that is a terminal, of 0, 1 and 2 when none is named; (0, 0) for none."""
    for fd in descriptors or (0, 1, 2):
        try:
            columns, rows = os.get_terminal_size(fd)
        except OSError:
            continue
        return rows, columns
    return 0, 0


def resize(fd: int, rows: int, columns: int) -> None:
    """Give a pty a size; its foreground processes are told by SIGWINCH."""
    import fcntl
    import struct

    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
