"""A command of this user's that is joined to the broker."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import sys
import threading
from typing import Protocol

from devbox.errors import ConnectionLostError, DevboxError, MachineGoneError
from devbox.machine import frames
from devbox.machine.frames import Frame, Kind

_READ = 256 << 10


class Host(Protocol):
    """The broker."""

    def pass_on(self, client: BrokerClient, frame: Frame) -> None:
        """Act on what a client says."""

    def leave(self, client: BrokerClient) -> None:
        """A client has gone."""


class BrokerClient:
    """Its connection, with a thread for each direction."""

    def __init__(self, connection: socket.socket, number: int) -> None:
        self._connection, self.number = connection, number
        self.session = 0
        """the client's own number for it"""
        self.greeted = self.opened = False
        self.held: list[Frame] | None = None
        """what waits until the command's files are in the machine; None when nothing does"""
        self.written = threading.Event()
        self._todo: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._order = threading.Lock()
        self._waiting = 0
        """pieces that the writing thread has not written"""

    def start(self, host: Host) -> None:
        """Begin to talk."""
        threading.Thread(target=self._write, daemon=True).start()
        threading.Thread(target=self._listen, args=(host,), daemon=True).start()

    def put(self, frame: Frame) -> None:
        """Send it, after the others: at once if that is possible. Credit bounds how much waits."""
        data = frames.encode(frame)
        with self._order:
            rest = data if self._waiting else self._at_once(data)
            if rest:
                self._waiting += 1
                self._todo.put(rest)

    def dismiss(self, error: DevboxError) -> None:
        """Say why it is over, and end the connection."""
        if not self.greeted:
            document = {"kind": type(error).__name__, "error": error.message, "hint": error.hint}
            self.put(Frame(Kind.HELLO, 0, json.dumps(document).encode()))
        else:
            kinds = {MachineGoneError: "gone", ConnectionLostError: "lost"}
            ending = {kinds.get(type(error), "lost"): error.message}
            self.put(Frame(Kind.EXIT, self.session, json.dumps(ending).encode()))
        self.opened = False
        self._todo.put(None)

    def _at_once(self, data: bytes) -> bytes:
        """Send what goes without waiting; the rest."""
        if sys.platform != "win32":
            with contextlib.suppress(OSError):  # not now, or never again, which the threads see
                return data[self._connection.send(data, socket.MSG_DONTWAIT) :]
        return data

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (data := self._todo.get()) is not None:
                self._connection.sendall(data)
                with self._order:
                    self._waiting -= 1
            self._connection.shutdown(socket.SHUT_RDWR)
        self.written.set()

    def _listen(self, host: Host) -> None:
        decoder = frames.Decoder()
        try:
            while data := self._connection.recv(_READ):
                for frame in decoder.feed(data):
                    host.pass_on(self, frame)
        except (OSError, DevboxError):
            pass
        host.leave(self)
        self._todo.put(None)
        self.written.wait()
        self._connection.close()
