"""A process per user and machine that keeps the connection open: a command then costs no handshake.

Each client speaks to it as to an agent; its session gets a number of its own towards the agent. The broker adds
how a session ended that the agent cannot tell of: the connection was lost, the machine does not answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from devbox.errors import DevboxError
from devbox.machine import frames, locking, records
from devbox.machine.client import PING_EVERY, SILENCE, Link
from devbox.machine.frames import Frame, Kind
from devbox.machine.places import MachinePlace

IDLE = 600.0
IDLE_VARIABLE = "DEVBOX_BROKER_IDLE"
_TICK = 1.0
_READ = 256 << 10
_LAST_BYTES = 2.0


class Owned(NamedTuple):
    """The socket that is ours, as long as its inode has the name."""

    place: MachinePlace
    inode: int
    stamp: str

    def give_up(self) -> None:
        """Take the name away, unless it is another broker's by now."""
        with locking.locked(self.place.broker_lock, "ending the broker", lambda _: None):
            try:
                if os.stat(self.place.socket).st_ino == self.inode:
                    records.forget(self.place.socket)
            except FileNotFoundError:
                return


def serve(owned: Owned, connect: Callable[[], Link]) -> None:
    """Connect, and serve the listening socket on 0 until it has been idle for a while or the machine is gone."""
    listener = socket.socket(fileno=os.dup(0))
    listener.settimeout(_TICK)
    try:
        link = connect()
    except DevboxError as error:
        owned.give_up()
        _refuse(listener, error)
        return
    broker = Broker(owned, link)
    for job in (broker.send, broker.receive):
        threading.Thread(target=job, daemon=True).start()
    broker.accept(listener, float(os.environ.get(IDLE_VARIABLE, IDLE)))


def _refuse(listener: socket.socket, error: DevboxError) -> None:
    """Tell everybody who waits why there is no connection."""
    document = {"kind": type(error).__name__, "error": error.message, "hint": error.hint}
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                client.sendall(frames.encode(Frame(Kind.HELLO, 0, json.dumps(document).encode())))
            listener.settimeout(0)


class Broker:
    """The sessions of all clients over one link."""

    def __init__(self, owned: Owned, link: Link) -> None:
        self._owned, self._link = owned, link
        self._outbox: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._clients: dict[int, _Client] = {}
        self._number = 0
        self._ended: dict[str, str] | None = None
        self._retired = False
        self._heard = time.monotonic()

    def accept(self, listener: socket.socket, idle: float) -> None:
        """Take clients in until nobody needs us any more."""
        used = time.monotonic()
        while self._ended is None:
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                if self._clients:
                    used = time.monotonic()
                elif self._retired:
                    break
                elif time.monotonic() - used > idle:
                    self.retire()  # whoever has connected until now is in the queue, and served
                continue
            used = time.monotonic()
            self._welcome(connection)
        self.retire()
        self._dismiss_all()

    def retire(self) -> None:
        """Take nobody in any more than those who have connected already."""
        self._retired = True
        self._owned.give_up()

    def send(self) -> None:
        """Thread: what goes to the agent."""
        try:
            while True:
                self._link.send(frames.encode(self._outbox.get()))
        except OSError as error:
            self._end({"lost": f"the connection to the machine was lost: {error}"})

    def receive(self) -> None:
        """Thread: what comes from the agent, and whether anything does."""
        decoder = frames.Decoder()
        pinged = 0.0
        while self._ended is None:
            try:
                data = self._link.receive()
                for frame in decoder.feed(data or b""):
                    self._deliver(frame)
            except (OSError, DevboxError) as error:
                self._end({"lost": f"the connection to the machine was lost: {error}"})
                return
            now = time.monotonic()
            if data == b"":
                said = self._link.complaint()
                self._end({"lost": "the connection to the machine was lost" + (f": {said}" if said else "")})
            elif data:
                self._heard = now
            elif now - self._heard > SILENCE:
                self._end({"gone": f"the machine has not answered for {SILENCE:.0f} s: it is frozen, or gone"})
            if now - pinged > PING_EVERY:
                pinged = now
                self._outbox.put(Frame(Kind.PING, 0))

    def _welcome(self, connection: socket.socket) -> None:
        connection.settimeout(None)
        with self._lock:
            self._number += 1
            client = _Client(connection, self._number)
            self._clients[client.number] = client
        client.put(Frame(Kind.HELLO, 0, json.dumps({"ready": True, "stamp": self._owned.stamp}).encode()))
        threading.Thread(target=client.write, daemon=True).start()
        threading.Thread(target=self._listen, args=(client,), daemon=True).start()

    def _listen(self, client: _Client) -> None:
        """Thread: what a client says."""
        decoder = frames.Decoder()
        try:
            while data := client.connection.recv(_READ):
                for frame in decoder.feed(data):
                    self._pass_on(client, frame)
        except (OSError, DevboxError):
            pass
        self._forget(client)

    def _pass_on(self, client: _Client, frame: Frame) -> None:
        if frame.kind == Kind.PING:
            client.put(Frame(Kind.PONG, frame.session))
        elif frame.kind == Kind.CLOSE and frame.session == 0:
            self.retire()
        else:
            client.opened = client.opened or frame.kind == Kind.OPEN
            client.session = frame.session
            self._outbox.put(frame._replace(session=client.number))

    def _deliver(self, frame: Frame) -> None:
        client = self._clients.get(frame.session)
        if client is not None:
            client.put(frame._replace(session=client.session))
            if frame.kind == Kind.EXIT:
                client.opened = False

    def _forget(self, client: _Client) -> None:
        with self._lock:
            self._clients.pop(client.number, None)
        if client.opened:
            self._outbox.put(Frame(Kind.CLOSE, client.number))
        client.put(None)

    def _end(self, ending: dict[str, str]) -> None:
        if self._ended is None:
            self._ended = ending
            self._dismiss_all()

    def _dismiss_all(self) -> None:
        """Tell every client how its session ended, and give them a moment to hear it."""
        with self._lock:
            clients = [*self._clients.values()]
        for client in clients:
            client.put(Frame(Kind.EXIT, client.session, json.dumps(self._ended or {"lost": "retired"}).encode()))
            client.put(None)
        deadline = time.monotonic() + _LAST_BYTES
        for client in clients:
            client.written.wait(max(0.0, deadline - time.monotonic()))


class _Client:
    def __init__(self, connection: socket.socket, number: int) -> None:
        self.connection, self.number = connection, number
        self.session = 0
        self.opened = False
        self.written = threading.Event()
        self._todo: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()

    def put(self, frame: Frame | None) -> None:
        """Send it, after the others; credit bounds how much waits."""
        self._todo.put(frame)

    def write(self) -> None:
        """Thread: what goes to the client."""
        with contextlib.suppress(OSError):
            while (frame := self._todo.get()) is not None:
                self.connection.sendall(frames.encode(frame))
            self.connection.shutdown(socket.SHUT_RDWR)
        self.written.set()
