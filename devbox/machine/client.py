"""The caller's side of one command: our streams, keys and signals against the frames of a link."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from devbox.errors import ConnectionLostError, DevboxError, HostError, MachineGoneError
from devbox.machine import console, frames
from devbox.machine.frames import PIECE, WINDOW, Frame, Kind, Receipts
from devbox.machine.keyagent import Forwarded
from devbox.machine.request import Terminal

PING_EVERY = 3.0
SILENCE = 12.0
"""seconds without a sign of life after which the machine counts as gone"""
CONNECTING = 240.0
"""seconds in which a broker connects, and a slow machine writes and compiles devbox"""
_WAKING = 4.0
"""seconds between two ticks after which it was us who slept, or were stopped"""
_LAST_BYTES = 5.0
_PIPE_BROKEN = 128 + 13
_SESSION = 1


class Link(Protocol):
    """Bytes to and from an agent."""

    def send(self, data: bytes) -> None:
        """All of it; OSError when the link is broken."""

    def receive(self) -> bytes | None:
        """What has arrived; None when nothing does for a second, b"" at the end."""

    def complaint(self) -> str:
        """What the other side may have said in the end."""

    def close(self) -> None:
        """Give it up."""


class Ending(NamedTuple):
    """How the command ended: with a code, or of a signal."""

    code: int
    signal: int = 0


class Client:
    """Runs one request over a link whose other side has said HELLO."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._decoder = frames.Decoder()
        self._outbox: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._broken: OSError | None = None
        self._credit = threading.Condition()
        self._allowed = WINDOW
        self._writers: dict[Kind, _Writer] = {}
        self._all_sent = threading.Event()
        self._heard = time.monotonic()
        self._has_broker = False
        self._agents = Forwarded(self._outbox.put)

    def greet(self) -> str:
        """Wait for the HELLO, and return the stamp in it; until then nothing is asked, so all may be tried again.

        Raises what kept a broker from connecting.
        """
        for frame in self._frames(CONNECTING):
            if frame.kind == Kind.HELLO:
                hello = json.loads(frame.payload)
                if not hello.get("ready"):
                    raise _named(str(hello.get("kind")), str(hello.get("error")), str(hello.get("hint", "")))
                self._has_broker = "stamp" in hello
                return str(hello.get("stamp", ""))
        raise AssertionError("frames end with an error")

    def retire(self) -> None:
        """Ask a broker to end when it has nothing to do."""
        self._link.send(frames.encode(Frame(Kind.CLOSE, 0)))

    def close(self) -> None:
        """Give the link up, and the command if it has not ended."""
        self._link.close()

    def run(self, wanted: bytes, terminal: Terminal, *, stdin: bool, agents: Mapping[str, str]) -> Ending:
        """Send the request, once, and stay with it; sockets of SSH agents that it may use are there before.

        ConnectionLostError and MachineGoneError say that nobody knows how it ended.
        """
        self._share_agents(dict(agents))
        self._outbox.put(Frame(Kind.OPEN, _SESSION, wanted))
        for kind, number in ((Kind.STDOUT, 1), (Kind.STDERR, 2)):
            self._writers[kind] = _Writer(number, kind, self._outbox)
        if not stdin:
            self._outbox.put(Frame(Kind.STDIN_END, _SESSION))
        for job in (self._send, self._read_stdin)[: 2 if stdin else 1]:
            threading.Thread(target=job, daemon=True).start()
        with contextlib.ExitStack() as stack:
            again = stack.enter_context(console.raw()) if terminal.stdin else None
            stack.enter_context(self._signals(again))
            return self._stay(terminal)

    def _stay(self, terminal: Terminal) -> Ending:
        size = (terminal.rows, terminal.columns)
        for frame in self._frames():
            if frame.kind in self._writers:
                self._writers[frame.kind].put(frame.payload)
            elif frame.kind == Kind.CREDIT:
                with self._credit:
                    self._allowed += frames.read_credit(frame)[1]
                    self._credit.notify()
            elif frame.kind == Kind.AGENT:
                self._agents.receive(frame)
            elif frame.kind == Kind.PORTS:
                self._refuse_ports(json.loads(frame.payload))
            elif frame.kind == Kind.EXIT:
                return self._ended(json.loads(frame.payload))
            if any(writer.broken for writer in self._writers.values()):
                self._leave()
                return Ending(_PIPE_BROKEN)
            if sys.platform == "win32" and terminal.wanted and size != (size := console.size()):
                self._outbox.put(frames.resize(_SESSION, *size))
        raise AssertionError("frames end with an error")

    def _share_agents(self, agents: dict[str, str]) -> None:
        """A broker does it as long as it lives; without one we do."""
        if self._has_broker and agents:
            self._outbox.put(Frame(Kind.AGENT, 0, json.dumps(agents).encode()))
        elif agents:
            self._agents.allow(agents)

    def _refuse_ports(self, asked: dict[str, Any]) -> None:
        """Only a broker lives as long as a container, so no port of this host can be promised without one."""
        if "claim" in asked:
            sys.stderr.write("devbox: without a broker the published ports are open in the machine only\n")
            answer = json.dumps({"id": asked["id"]}).encode()
            self._outbox.put(Frame(Kind.PORTS, 0, answer))

    def _frames(self, patience: float = SILENCE) -> Iterator[Frame]:
        """What arrives, PONG once in a while; raises when nothing can come any more."""
        pinged = 0.0
        ticked = self._heard = time.monotonic()
        while True:
            try:
                data = b"" if self._broken else self._link.receive()
            except OSError as error:
                self._broken, data = error, b""
            now = time.monotonic()
            if now - ticked > _WAKING:
                self._heard = now
            ticked = now
            if data == b"":
                raise frames.lost(self._link.complaint() or str(self._broken or ""))
            if data:
                self._heard = now
                yield from self._decoder.feed(data)
            elif now - self._heard > patience:
                raise frames.silent(patience)
            else:
                yield Frame(Kind.PONG, 0)
            if now - pinged > PING_EVERY:
                pinged = now
                self._outbox.put(frames.ping(0))

    def _ended(self, ending: dict[str, Any]) -> Ending:
        for writer in self._writers.values():
            writer.finish()
        if any(writer.broken for writer in self._writers.values()):
            return Ending(_PIPE_BROKEN)
        if "gone" in ending:
            raise MachineGoneError(ending["gone"])
        if "lost" in ending:
            raise ConnectionLostError(ending["lost"])
        if "error" in ending:
            raise HostError(ending["error"])
        if "signal" in ending:
            return Ending(128 + ending["signal"], ending["signal"])
        return Ending(ending["code"])

    def _leave(self) -> None:
        """Nobody reads us: tell the other side, and see that it has gone out."""
        self._outbox.put(Frame(Kind.CLOSE, _SESSION))
        self._outbox.put(None)
        self._all_sent.wait(_LAST_BYTES)

    def _send(self) -> None:
        """The only thread that sends."""
        try:
            while (frame := self._outbox.get()) is not None:
                self._link.send(frames.encode(frame))
        except OSError as error:
            self._broken = error
        self._all_sent.set()

    def _read_stdin(self) -> None:
        sent = 0
        while True:
            with self._credit:
                self._credit.wait_for(lambda: sent < self._allowed)  # noqa: B023 - it is called here
                most = min(PIECE, self._allowed - sent)
            try:
                data = os.read(0, most)
            except OSError:  # closed, or a terminal that has gone
                data = b""
            if not data:
                self._outbox.put(Frame(Kind.STDIN_END, _SESSION))
                return
            sent += len(data)
            self._outbox.put(Frame(Kind.STDIN, _SESSION, data))

    @contextlib.contextmanager
    def _signals(self, again: Callable[[], None] | None) -> Iterator[None]:
        """Signals that we get are the command's; the queue takes them at any moment. `again` is after a stop."""

        def pass_on(number: int, _: object) -> None:
            name = signal.Signals(number).name.removeprefix("SIG")
            self._outbox.put(Frame(Kind.SIGNAL, _SESSION, name.encode()))

        def resized(_: int, __: object) -> None:
            self._outbox.put(frames.resize(_SESSION, *console.size()))

        def continued(number: int, frame: object) -> None:
            if again is not None:
                again()
            resized(number, frame)

        handlers = {"WINCH": resized, "CONT": continued}
        before = {}
        for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", *handlers):
            number = getattr(signal, f"SIG{name}", None)
            if number is not None:
                before[number] = signal.signal(number, handlers.get(name, pass_on))
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _named(kind: str, message: str, hint: str) -> DevboxError:
    """An error that the broker has met, by the name of its class."""
    family = next((each for each in DevboxError.__subclasses__() if each.__name__ == kind), HostError)
    return family(message, hint=hint)


class _Writer:
    """Writes one of our outputs in a thread of its own, so that a slow reader stops nothing but that stream."""

    def __init__(self, number: int, kind: Kind, outbox: queue.SimpleQueue[Frame | None]) -> None:
        self._number = number
        self._todo: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._outbox = outbox
        self._receipts = Receipts(_SESSION, kind)
        self.broken = False
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._started = False

    def put(self, data: bytes) -> None:
        """Write that, after what came before; credit bounds how much waits."""
        if not self._started:
            self._started = True
            self._thread.start()
        self._todo.put(data)

    def finish(self) -> None:
        """Wait until all is written."""
        if self._started:
            self._todo.put(b"")
            while self._thread.is_alive():
                self._thread.join(1.0)

    def _write(self) -> None:
        while data := self._todo.get():
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(self._number, view) :]
            except OSError:
                self.broken = True
                return
            receipt = self._receipts.consumed(len(data))
            if receipt:
                self._outbox.put(receipt)
