"""A person at a terminal: a program in a pty, what it shows, and keys."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import struct
import termios
import time
from collections.abc import Mapping, Sequence


class Terminal:
    """A program with a terminal of its own."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], *, rows: int = 33, columns: int = 101) -> None:
        self.fd, theirs = os.openpty()
        self.resize(rows, columns)
        self.shown = b""
        self.pid = os.fork()
        if self.pid == 0:
            os.login_tty(theirs)
            os.execvpe(argv[0], list(argv), dict(env))
        os.close(theirs)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, pattern: bytes, seconds: float = 10) -> re.Match[bytes]:
        """Wait until it shows something, and forget all before its end."""
        deadline = time.monotonic() + seconds
        while not (match := re.search(pattern, self.shown)):
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} was not shown, but {self.shown[-500:]!r}"
            if select.select([self.fd], [], [], left)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    data = b""
                assert data, f"it ended before {pattern!r} was shown: {self.shown[-500:]!r}"
                self.shown += data
        self.shown = self.shown[match.end() :]
        return match

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def kill(self, number: int) -> None:
        os.kill(self.pid, number)

    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def wait(self, seconds: float = 10) -> int:
        """The exit code, negative for a signal; takes what it still shows."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if select.select([self.fd], [], [], 0.02)[0]:
                with contextlib.suppress(OSError):
                    self.shown += os.read(self.fd, 65536)
        raise AssertionError(f"it did not end, but showed {self.shown[-500:]!r}")

    def close(self) -> None:
        os.close(self.fd)
