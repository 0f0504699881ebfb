"""The caller's terminal on each of the three systems: raw mode that is always undone, and its size."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from devbox.machine.request import Terminal


def terminal(*, stdin: bool) -> Terminal:
    """What 0, 1 and 2 are. A terminal that is only read (both outputs go elsewhere) counts as a pipe.

    Without `stdin` the keys stay with the caller's terminal: Ctrl-C and Ctrl-Z there are signals to us.
    """
    stdout, stderr = _is_terminal(1), _is_terminal(2)
    if not (stdout or stderr):
        return Terminal()
    return Terminal(stdin and _is_terminal(0), stdout, stderr, *size())


def size() -> tuple[int, int]:
    """Rows and columns of the first of 1, 2 and 0 that is a terminal; (0, 0) for none."""
    for number in (1, 2, 0):
        with contextlib.suppress(OSError, ValueError):
            columns, rows = os.get_terminal_size(number)
            return rows, columns
    return 0, 0


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False


if sys.platform == "win32":
    # never run on a real Windows
    import ctypes
    import ctypes.wintypes

    _STD_INPUT, _STD_OUTPUT = -10, -11
    _VT_INPUT, _VT_OUTPUT = 0x0200, 0x0004
    _PROCESSED, _LINE, _ECHO = 0x0001, 0x0002, 0x0004

    @contextlib.contextmanager
    def raw() -> Iterator[Callable[[], None]]:
        """Hand over every key as it comes, and let the console understand escape sequences."""
        kernel = ctypes.windll.kernel32
        before = []
        for number, off, on in ((_STD_INPUT, _PROCESSED | _LINE | _ECHO, _VT_INPUT), (_STD_OUTPUT, 0, _VT_OUTPUT)):
            handle = kernel.GetStdHandle(number)
            mode = ctypes.wintypes.DWORD()
            if kernel.GetConsoleMode(handle, ctypes.byref(mode)):
                before.append((handle, mode.value))
                kernel.SetConsoleMode(handle, mode.value & ~off | on)
        try:
            yield lambda: None
        finally:
            for handle, value in before:
                kernel.SetConsoleMode(handle, value)

else:
    import termios
    import tty

    @contextlib.contextmanager
    def raw() -> Iterator[Callable[[], None]]:
        """Hand over every key of 0 as it comes; the old mode comes back however the block ends.

        What it yields does it again, after we were stopped and a shell has set its own mode.
        """
        before = termios.tcgetattr(0)

        def enter() -> None:
            tty.setraw(0, termios.TCSANOW)

        enter()
        try:
            yield enter
        finally:
            with contextlib.suppress(termios.error):  # the terminal may be gone
                termios.tcsetattr(0, termios.TCSADRAIN, before)
