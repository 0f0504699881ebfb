"""Sockets in the machine behind which is an SSH agent of the host: made when a command there has asked for it."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import itertools
import json
import os
import re
import select
import socket
from collections.abc import Iterator

from devbox.errors import RefusedError
from devbox.machine.frames import Frame, Kind
from devbox.machine.guest.gate import listening
from devbox.machine.guest.session import Interest, Send
from devbox.machine.keyagent import DIRECTORY

_PLACE = re.compile(re.escape(DIRECTORY) + "/[0-9a-f]{32}")
_READ = 64 << 10
_CONNECTIONS = 64


class KeyAgents:
    """The listening sockets of one host, and who is connected to them."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._listeners: dict[str, socket.socket] = {}
        self._connections: dict[int, socket.socket] = {}
        self._numbers = itertools.count(1)

    def interests(self, *, may_send: bool) -> Iterator[Interest]:
        """What to poll for."""
        for path, listener in self._listeners.items():
            yield Interest(listener.fileno(), select.POLLIN, lambda path=path: self._accept(path))  # type: ignore[misc]
        for number, connection in self._connections.items() if may_send else ():
            yield Interest(connection.fileno(), select.POLLIN, lambda number=number: self._read(number))  # type: ignore[misc]

    def receive(self, frame: Frame) -> None:
        """The host wants us to listen, or an agent answers."""
        if frame.session == 0:
            for path in json.loads(frame.payload)["listen"]:
                if not _PLACE.fullmatch(path):
                    raise RefusedError(f"{path} is no place for an SSH agent")
                if path not in self._listeners:
                    self._listeners[path] = listening(path)
        elif connection := self._connections.get(frame.session):
            try:
                connection.sendall(frame.payload)
            except OSError:  # it has gone, or reads no answers
                self._send(Frame(Kind.AGENT, frame.session))
                self._end(frame.session)
            if not frame.payload:
                self._end(frame.session)

    def close(self) -> None:
        """The host has gone, and its agents with it."""
        for path, listener in self._listeners.items():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            listener.close()
        for connection in self._connections.values():
            connection.close()
        self._listeners.clear()
        self._connections.clear()

    def _accept(self, path: str) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._listeners[path].accept()
            if len(self._connections) >= _CONNECTIONS:
                connection.close()
                return
            connection.settimeout(0)
            number = next(self._numbers)
            self._connections[number] = connection
            self._send(Frame(Kind.AGENT, 0, json.dumps({"open": number, "at": path}).encode()))

    def _read(self, number: int) -> None:
        connection = self._connections.get(number)
        if connection is None:
            return
        try:
            data = connection.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._send(Frame(Kind.AGENT, number, data))
        if not data:
            self._end(number)

    def _end(self, number: int) -> None:
        connection = self._connections.pop(number, None)
        if connection is not None:
            connection.close()
