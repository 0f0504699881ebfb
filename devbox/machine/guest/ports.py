"""What the agent does about published ports: lets the engine ask the host for them, and tells it which there are.

A file that the engine writes anew with each change is looked at every second and after each command; when it is
another one, a command of the engine's lists the ports.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from devbox.errors import RefusedError
from devbox.machine.frames import Frame, Kind
from devbox.machine.guest import gate
from devbox.machine.guest.gate import Gate
from devbox.machine.guest.session import Interest, Send
from devbox.machine.request import Request, Terminal
from devbox.model.invocation import Invocation

LISTING = 0xFFFFFFFF
"""a session that is not the host's"""
_COMMAND = Invocation(("internal", "published"), {})
_TICK = 1000
_AGAIN = 10.0
"""seconds after which it is listed again, though nothing seems to have changed"""

Run = Callable[[Request, Send], None]


class Places(NamedTuple):
    """Where the engine and the agent meet."""

    gates: str
    """a directory for sockets, each of an agent"""
    watched: str
    """a file that is another one after each change of what is published"""


class Ports:
    """One agent's part."""

    def __init__(self, places: Places, send: Send, run: Run) -> None:
        self._places, self._send, self._run = places, send, run
        self._gate = _gate(places.gates, send)
        self._seen: tuple[int, int] | None = None
        self._listed = 0.0
        self._output = b""
        self._following = False

    @property
    def tick_after(self) -> int:
        """Milliseconds until a `tick` is wanted; 0 when none is."""
        return _TICK if self._following else 0

    def interests(self) -> Iterator[Interest]:
        """What to poll for."""
        if self._gate is not None:
            yield from self._gate.interests()

    def told(self, request: Request) -> Request:
        """A request whose command knows where to ask."""
        if self._gate is None:
            return request
        return request._replace(environment={**request.environment, gate.VARIABLE: self._gate.path})

    def receive(self, frame: Frame) -> None:
        """The host answers a question, or wants to know what is published from now on."""
        try:
            document = json.loads(frame.payload)
        except ValueError as error:
            raise RefusedError("the other side sent a broken frame of kind PORTS") from error
        if document.get("follow"):
            self._following, self._listed = True, 0.0
            self.tick()
        elif self._gate is not None:
            self._gate.answer(document)

    def tick(self) -> None:
        """List the ports if they may be others than before."""
        now = time.monotonic()
        if not self._following or (self._stamp() == self._seen and now - self._listed < _AGAIN):
            return
        self._seen, self._listed, self._output = self._stamp(), now, b""
        self._run(Request(_COMMAND, "/", {}, Terminal()), self._collect)

    def close(self) -> None:
        """Nobody asks or listens any more."""
        self._following = False
        if self._gate is not None:
            self._gate.close()
            self._gate = None

    def _collect(self, frame: Frame) -> None:
        """What the listing command says."""
        if frame.kind == Kind.STDOUT:
            self._output += frame.payload
        elif frame.kind == Kind.EXIT and json.loads(frame.payload) == {"code": 0}:
            with contextlib.suppress(ValueError):
                published = {"published": json.loads(self._output)}
                self._send(Frame(Kind.PORTS, 0, json.dumps(published).encode()))

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._places.watched)
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns


def _gate(directory: str, send: Send) -> Gate | None:
    """None where no socket can be made: ports are then open in the machine only."""
    try:
        for name in os.listdir(directory):
            if not os.path.exists(f"/proc/{name}"):  # of an agent that was killed
                os.unlink(f"{directory}/{name}")
    except FileNotFoundError:
        pass
    try:
        return Gate(f"{directory}/{os.getpid()}", send)
    except OSError:
        return None
