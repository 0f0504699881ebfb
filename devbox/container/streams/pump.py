"""Bytes from here to there, in both directions at once, without threads and with bounded memory.

A `Flow` reads from one descriptor and writes to one or more `Outlet`s. While an outlet does not take what it was
given, nothing more is read for it, so whoever is slow slows down only those that feed it.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
import select
import stat
from collections.abc import Callable, Iterable, Mapping

CHUNK = 65536


class Outlet:
    """A descriptor that is written to without ever waiting for it."""

    def __init__(self, fd: int, write: Callable[[bytes], int]) -> None:
        self.fd = fd
        self.pending: bytes = b""
        self._write = write

    def put(self, data: bytes) -> None:
        """Write what fits now and keep the rest. BrokenPipeError when nobody reads any more."""
        self.pending = self.pending + data if self.pending else data
        self.flush()

    def flush(self) -> None:
        """Go on with what is kept."""
        while self.pending:
            try:
                written = self._write(self.pending)
            except BlockingIOError:
                return
            self.pending = self.pending[written:] if written < len(self.pending) else b""


class Flow:
    """`read` gives False at the end of the input, after which `at_end` is called once."""

    def __init__(
        self,
        source: int,
        outlets: Iterable[Outlet],
        read: Callable[[], bool],
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self.source = source
        self.ended = False
        self._outlets = tuple(outlets)
        self._read = read
        self._at_end = at_end
        self._exhausted = False

    def awaited(self) -> tuple[int, int]:
        """The descriptor and the poll event this flow waits for."""
        for outlet in self._outlets:
            if outlet.pending:
                return outlet.fd, select.POLLOUT
        return self.source, select.POLLIN

    def advance(self) -> None:
        """What can be done without waiting."""
        for outlet in self._outlets:
            outlet.flush()
        if self._blocked():
            return
        if not self._exhausted:
            self._exhausted = not self._read()
        if self._exhausted and not self._blocked():
            self.ended = True
            if self._at_end:
                self._at_end()

    def _blocked(self) -> bool:
        return any(outlet.pending for outlet in self._outlets)


def pump(
    flows: Iterable[Flow], until: Callable[[], bool], watched: Mapping[int, Callable[[], None]] | None = None
) -> None:
    """Move bytes until `until` says so; a watched descriptor that is readable gets its function called."""
    flows = tuple(flows)
    watched = watched or {}
    while not until():
        going = [(flow, *flow.awaited()) for flow in flows if not flow.ended]
        events = dict.fromkeys(watched, select.POLLIN)
        for _, fd, event in going:
            events[fd] = events.get(fd, 0) | event
        ready = _poll(events)
        for fd, act in watched.items():
            if fd in ready:
                act()
        for flow, fd, event in going:
            if ready.get(fd, 0) & ~(select.POLLIN | select.POLLOUT) | ready.get(fd, 0) & event:
                flow.advance()


def drain(flows: Iterable[Flow], patience: float) -> None:
    """Move what is left, until nothing has come for `patience` seconds; a slow outlet is waited for."""
    going = [flow for flow in flows if not flow.ended]
    while going:
        waits = {flow: flow.awaited() for flow in going}
        blocked = any(event == select.POLLOUT for _, event in waits.values())
        ready = _poll(dict(waits.values()), None if blocked else patience)
        if not ready:
            return
        for flow, (fd, _) in waits.items():
            if fd in ready:
                flow.advance()
        going = [flow for flow in going if not flow.ended]


def _poll(events: Mapping[int, int], patience: float | None = None) -> dict[int, int]:
    poll = select.poll()
    for fd, event in events.items():
        poll.register(fd, event)
    return dict(poll.poll(None if patience is None else patience * 1000))


def writer(fd: int) -> Outlet:
    """An outlet for a descriptor that may be shared with other processes, whose flags must stay as they are."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        return Outlet(fd, lambda data: _send(fd, data))
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        try:
            own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            own = fd  # a terminal of another user, say: then we wait for it
        return Outlet(own, lambda data: os.write(own, data))
    return Outlet(fd, lambda data: os.write(fd, data))


def _send(fd: int, data: bytes) -> int:
    import _socket

    shared = _socket.socket(fileno=os.dup(fd))
    try:
        return shared.send(data, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
    finally:
        shared.close()


def reader(source: int, take: Callable[[bytes], None], *, size: int = CHUNK) -> Callable[[], bool]:
    """A `Flow`'s read function for a descriptor; a terminal that is gone, or input that was closed, has ended."""

    def read() -> bool:
        try:
            data = os.read(source, size)
        except BlockingIOError:
            return True
        except OSError as error:
            import errno

            if error.errno in (errno.EIO, errno.EBADF):
                return False
            raise
        if data:
            take(data)
        return bool(data)

    return read
