"""The resident process in the machine: frames come in on stdin, commands run, frames go out on stdout.

It ends, and every command with it, when the channel does or when the other side has not been heard for a minute. A
container is not a command: it stays, as it does when docker's client goes.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import fcntl
import json
import os
import select
import time
from collections import deque
from collections.abc import Callable

from devbox.errors import DevboxError
from devbox.machine import frames, request
from devbox.machine.frames import Frame, Kind
from devbox.machine.guest import child, ports
from devbox.machine.guest.child import Perform
from devbox.machine.guest.flows import Flows
from devbox.machine.guest.keyagent import KeyAgents
from devbox.machine.guest.ports import Places, Ports
from devbox.machine.guest.session import Interest, Session
from devbox.machine.request import Request

_SILENCE = 60.0
"""seconds without a frame (the other side pings every few) after which there is no other side"""
_BACKLOG = 1 << 20
"""bytes that wait for the channel; above it no command is read"""
_READ = 256 << 10
_TICK, _TICK_IN_A_HURRY = 5000, 20
"""milliseconds"""


def serve(perform: Perform, places: Places) -> int:
    """Serve the channel on 0 and 1 until it ends."""
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    os.set_blocking(sink, False)
    with contextlib.suppress(OSError):  # a socket, or the kernel's bound for all pipes of a user
        fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _BACKLOG)
    Agent(source, sink, perform, places).run()
    return 0


class Agent:
    """Runs the sessions of one channel, in one thread."""

    def __init__(self, source: int, sink: int, perform: Perform, places: Places) -> None:
        self._source, self._sink, self._perform = source, sink, perform
        self._decoder = frames.Decoder()
        self._sessions: dict[int, Session] = {}
        self._out: deque[bytes | memoryview] = deque()
        self._waiting = 0
        self._heard = time.monotonic()
        self._open = True
        self._flows = Flows(self._send)
        self._keys = KeyAgents(self._send)
        self._ports = Ports(places, self._send, self._list_ports)

    def run(self) -> None:
        """Until the channel has ended and every command with it."""
        self._send(Frame(Kind.HELLO, 0, json.dumps({"ready": True, "pid": os.getpid()}).encode()))
        while self._open or self._sessions:
            self._wait()
            self._tidy()
            self._write()

    def _wait(self) -> None:
        interests = {interest.fd: [interest] for interest in self._interests_of_channel()}
        for session in self._sessions.values():
            for interest in session.interests(may_send=self._waiting < _BACKLOG):
                interests.setdefault(interest.fd, []).append(interest)
        poll = select.poll()
        for fd, wanted in interests.items():
            mask = 0
            for interest in wanted:
                mask |= interest.events
            poll.register(fd, mask)
        hurry = any(session.lingers for session in self._sessions.values())
        for fd, events in poll.poll(_TICK_IN_A_HURRY if hurry else self._ports.tick_after or _TICK):
            for interest in interests[fd]:
                # POLLHUP and POLLERR come unasked, and reading or writing tells what they mean
                if events & (interest.events | select.POLLHUP | select.POLLERR):
                    interest.act()

    def _interests_of_channel(self) -> list[Interest]:
        if not self._open:
            return []
        wanted = [Interest(self._source, select.POLLIN, self._read)]
        if self._out:
            wanted.append(Interest(self._sink, select.POLLOUT, self._write))
        may_send = self._waiting < _BACKLOG
        return [
            *wanted,
            *self._ports.interests(),
            *self._flows.interests(),
            *self._keys.interests(may_send=may_send),
        ]

    def _tidy(self) -> None:
        if self._open and time.monotonic() - self._heard > _SILENCE:
            sys.stderr.write(f"the machine has heard nothing from its host for {_SILENCE:.0f} s\n")
            sys.stderr.flush()
            self._hang_up()
        for number, session in [*self._sessions.items()]:
            session.tick()
            if session.finished:
                del self._sessions[number]
        if self._open:
            self._ports.tick()

    def _read(self) -> None:
        data = os.read(self._source, _READ)
        if not data:
            self._hang_up()
            return
        self._heard = time.monotonic()
        for frame in self._decoder.feed(data):
            self._receive(frame)

    def _receive(self, frame: Frame) -> None:
        if frame.kind == Kind.PING:
            self._send(frames.pong(frame, time.time_ns()))
        elif frame.kind == Kind.CLOCK:
            with contextlib.suppress(OSError):  # a container that is a machine may not
                time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + frames.read_clock(frame))
        elif frame.kind == Kind.PORTS:
            self._ports.receive(frame)
        elif frame.kind == Kind.DATAGRAM:
            self._flows.receive(frame)
        elif frame.kind == Kind.AGENT:
            self._keys.receive(frame)
        elif frame.kind == Kind.OPEN:
            self._begin(frame)
        elif frame.session in self._sessions:
            self._sessions[frame.session].receive(frame)

    def _begin(self, frame: Frame) -> None:
        try:
            if frame.session in self._sessions:
                raise DevboxError(f"the session {frame.session} runs already")
            wanted = request.decode(frame.payload)
            started = child.spawn(self._ports.told(wanted), self._perform)
        except (DevboxError, OSError) as error:
            ending = json.dumps({"error": f"the machine cannot begin the command: {error}"})
            self._send(Frame(Kind.EXIT, frame.session, ending.encode()))
            return
        terminal_is = Kind.STDOUT if wanted.terminal.stdout else Kind.STDERR
        self._sessions[frame.session] = Session(frame.session, started, self._send, terminal_is=terminal_is)

    def _list_ports(self, wanted: Request, send: Callable[[Frame], None]) -> None:
        """Run a command whose output is for ourselves."""
        if ports.LISTING in self._sessions:
            return
        try:
            started = child.spawn(wanted, self._perform)
        except OSError:  # no process or memory left: the next tick tries again
            return
        session = Session(ports.LISTING, started, send, terminal_is=Kind.STDOUT)
        session.receive(Frame(Kind.STDIN_END, ports.LISTING))
        self._sessions[ports.LISTING] = session

    def _send(self, frame: Frame) -> None:
        if self._open:
            data = frames.encode(frame)
            self._out.append(data)
            self._waiting += len(data)

    def _write(self) -> None:
        """What the channel takes now."""
        while self._out:
            data = self._out.popleft()
            try:
                written = os.write(self._sink, data)
            except BlockingIOError:
                written = 0
            except OSError:
                self._hang_up()
                return
            self._waiting -= written
            if written < len(data):
                self._out.appendleft(memoryview(data)[written:])
                return

    def _hang_up(self) -> None:
        self._open = False
        self._out.clear()
        self._ports.close()
        self._flows.close()
        self._keys.close()
        for session in self._sessions.values():
            session.abandon()
