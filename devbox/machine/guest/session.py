"""One command of the caller's as the agent sees it: its process, its streams and what they may still send."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import json
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from devbox.machine import frames
from devbox.machine.frames import PIECE, WINDOW, Frame, Kind, Receipts
from devbox.machine.guest import child, processes
from devbox.machine.guest.child import Child

GRACE = 2.0
"""seconds between hanging up and killing"""
_TERMINAL_PATIENCE = 0.1
"""seconds in which the kernel brings the last bytes of a terminal over"""
_TO_THE_GROUP = (signal.SIGINT, signal.SIGQUIT)

Send = Callable[[Frame], None]


class Interest(NamedTuple):
    """What a session waits for."""

    fd: int
    events: int
    act: Callable[[], None]


class Output:
    """A stream that comes from the command."""

    def __init__(self, fd: int, kind: Kind) -> None:
        self.fd, self.kind = fd, kind
        self.credit = WINDOW


class Session:
    """A running command; `finished` when everything it wrote and how it ended has been sent."""

    def __init__(self, number: int, started: Child, send: Send, *, terminal_is: Kind) -> None:
        self.number = number
        self._child, self._send = started, send
        self._status: int | None = None
        self._deadline = 0.0
        self._ended_at = 0.0
        ends = ((started.terminal, terminal_is), (started.stdout, Kind.STDOUT), (started.stderr, Kind.STDERR))
        self._outputs = [Output(fd, kind) for fd, kind in ends if fd >= 0]
        self._input = started.stdin if started.stdin >= 0 else started.terminal
        self._pending: deque[bytes] = deque()
        self._input_ended = False
        self._receipts = Receipts(number, Kind.STDIN)
        self._left: list[int] = []
        self.finished = False

    def interests(self, *, may_send: bool) -> Iterator[Interest]:
        """What to poll for; nothing is read that could not be sent."""
        if self._status is None:
            yield Interest(self._child.handle, select.POLLIN, self._reap)
        for output in self._outputs:
            if may_send and output.credit > 0:
                yield Interest(output.fd, select.POLLIN, lambda output=output: self._read(output))  # type: ignore[misc]
        if self._pending and self._input >= 0:
            yield Interest(self._input, select.POLLOUT, self._write)

    def receive(self, frame: Frame) -> None:
        """Act on a frame of the caller's."""
        match frame.kind:
            case Kind.STDIN:
                self._feed(frame.payload)
            case Kind.STDIN_END:
                self._input_ended = True
                self._end_input()
            case Kind.RESIZE if self._child.terminal >= 0:
                with contextlib.suppress(OSError):
                    child.resize(self._child.terminal, *frames.read_resize(frame))
            case Kind.SIGNAL:
                self._signal(frame.payload.decode("ascii", "replace"))
            case Kind.CREDIT:
                kind, amount = frames.read_credit(frame)
                for output in self._outputs:
                    if output.kind == kind:
                        output.credit += amount
            case Kind.CLOSE:
                self.abandon()
            case _:
                pass

    def abandon(self) -> None:
        """Nobody waits any more: hang up, and kill when that is not understood."""
        if self._deadline:
            return
        self._deadline = time.monotonic() + GRACE
        self._close_streams()
        if self._status is None:
            # what it has begun in a container would outlive it
            self._left = processes.own_descendants(self._child.pid)
            self._to_group(signal.SIGHUP)
            self._to_group(signal.SIGCONT)
        else:
            self.finished = True

    def tick(self) -> None:
        """Kill what was abandoned and goes on; see whether everything has been sent."""
        self._finish_if_done()
        if not self._deadline or time.monotonic() < self._deadline:
            return
        if self._status is None:
            self._left += processes.own_descendants(self._child.pid)
            self._to_group(signal.SIGKILL)
        for handle in self._left:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)
        self._left.clear()
        self.finished = self._status is not None

    @property
    def lingers(self) -> bool:
        """Whether it needs a `tick` soon."""
        return self._status is not None or bool(self._deadline)

    def _reap(self) -> None:
        _, self._status = os.waitpid(self._child.pid, 0)
        self._ended_at = time.monotonic()
        os.close(self._child.handle)
        self._drop_input()
        self._finish_if_done()

    def _read(self, output: Output) -> None:
        if output not in self._outputs:  # closed by another event of the same moment
            return
        try:
            data = os.read(output.fd, min(PIECE, output.credit))
        except BlockingIOError:
            return
        except OSError:  # EIO: the last process has closed the terminal
            data = b""
        if data:
            output.credit -= len(data)
            self._send(Frame(output.kind, self.number, data))
        else:
            self._close_output(output)
            self._finish_if_done()

    def _finish_if_done(self) -> None:
        """After the command's end what is in the pipes is sent; who else keeps them open is not waited for."""
        if self._status is None or self.finished:
            return
        patient = time.monotonic() < self._ended_at + _TERMINAL_PATIENCE
        for output in [*self._outputs]:
            if not _readable(output.fd) and not (patient and output.fd == self._child.terminal):
                self._close_output(output)
        if self._outputs:
            return
        code = os.waitstatus_to_exitcode(self._status)
        ending = {"code": code} if code >= 0 else {"signal": -code}
        if not self._deadline:
            self._send(Frame(Kind.EXIT, self.number, json.dumps(ending).encode()))
        self._close_streams()
        self.finished = not self._left

    def _feed(self, data: bytes) -> None:
        if self._input >= 0 and not self._input_ended:
            self._pending.append(data)

    def _write(self) -> None:
        if not self._pending:  # given up in the same moment
            return
        data = self._pending.popleft()
        try:
            written = os.write(self._input, data)
        except BlockingIOError:
            written = 0
        except OSError:  # it reads no more, and gets no more credit
            self._drop_input()
            return
        if written < len(data):
            self._pending.appendleft(data[written:])
        receipt = self._receipts.consumed(written)
        if receipt:
            self._send(receipt)
        self._end_input()

    def _end_input(self) -> None:
        if self._input_ended and not self._pending:
            self._drop_input()

    def _drop_input(self) -> None:
        self._pending.clear()
        if self._input >= 0 and self._input != self._child.terminal:
            os.close(self._input)
        self._input = -1

    def _close_output(self, output: Output) -> None:
        self._outputs.remove(output)
        if output.fd == self._input:
            self._drop_input()
        os.close(output.fd)

    def _close_streams(self) -> None:
        self._drop_input()
        for output in [*self._outputs]:
            self._close_output(output)

    def _signal(self, name: str) -> None:
        number = getattr(signal, f"SIG{name}", None)
        if not isinstance(number, signal.Signals) or self._status is not None:
            return
        if number in _TO_THE_GROUP:
            self._to_group(number)
        else:
            signal.pidfd_send_signal(self._child.handle, number)

    def _to_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)


def _readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool([events for _, events in poll.poll(0) if events & select.POLLIN])
