"""Ports of the host, as the engine in the machine sees them: it asks at a socket before it publishes one.

The engine writes {"claim": [[protocol, address, port], ...]} in one line and gets {} back, or what was refused:
{"kind", "error", "hint"}. The question travels as a PORTS frame with an id, and so does its answer.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import itertools
import json
import os
import select
import socket
from collections.abc import Iterator

from devbox.machine.frames import Frame, Kind
from devbox.machine.guest.session import Interest, Send

VARIABLE = "DEVBOX_GATE"
_LONGEST = 1 << 20


class Gate:
    """The listening socket, and the questions that wait for the host's answer."""

    def __init__(self, path: str, send: Send) -> None:
        self.path, self._send = path, send
        self._listener = listening(path)
        self._numbers = itertools.count(1)
        self._asking: dict[socket.socket, bytes] = {}
        self._asked: dict[int, socket.socket] = {}

    def interests(self) -> Iterator[Interest]:
        """What to poll for."""
        yield Interest(self._listener.fileno(), select.POLLIN, self._accept)
        for connection in self._asking:
            yield Interest(connection.fileno(), select.POLLIN, lambda asker=connection: self._read(asker))  # type: ignore[misc]

    def answer(self, document: dict[str, object]) -> None:
        """The host's answer to a question."""
        number = document.pop("id", None)
        connection = self._asked.pop(number, None) if isinstance(number, int) else None
        if connection is not None:
            with connection, contextlib.suppress(OSError):
                connection.sendall(json.dumps(document).encode() + b"\n")

    def close(self) -> None:
        """Nobody can answer any more; who waits sees the end."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        for connection in (self._listener, *self._asking, *self._asked.values()):
            connection.close()
        self._asking.clear()
        self._asked.clear()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = self._listener.accept()
            connection.settimeout(0)
            self._asking[connection] = b""

    def _read(self, connection: socket.socket) -> None:
        if connection not in self._asking:
            return
        try:
            data = connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        text = self._asking[connection] + data
        if not data or len(text) > _LONGEST:
            del self._asking[connection]
            connection.close()
        elif text.endswith(b"\n"):
            del self._asking[connection]
            number = next(self._numbers)
            self._asked[number] = connection
            question = {"id": number, "claim": json.loads(text)["claim"]}
            self._send(Frame(Kind.PORTS, 0, json.dumps(question).encode()))
        else:
            self._asking[connection] = text


def listening(path: str) -> socket.socket:
    """At a path of our own, 0600, in a directory that only root can enter."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        before = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(before)
        listener.listen(64)
        listener.settimeout(0)
    except BaseException:
        listener.close()
        raise
    return listener
