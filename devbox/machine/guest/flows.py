"""Datagrams of published UDP ports, inside the machine: a socket for each flow of the host's."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import select
import socket
import time
from collections.abc import Iterator

from devbox.machine import frames
from devbox.machine.frames import Frame
from devbox.machine.guest.session import Interest, Send

_IDLE = 120.0
_FLOWS = 4096
_AT_ONCE = 64
_LARGEST = 65535


class Flows:
    """All of them."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sockets: dict[int, socket.socket] = {}
        self._used: dict[int, float] = {}

    def interests(self) -> Iterator[Interest]:
        """What to poll for."""
        for flow, endpoint in self._sockets.items():
            yield Interest(endpoint.fileno(), select.POLLIN, lambda flow=flow: self._answer(flow))  # type: ignore[misc]

    def receive(self, frame: Frame) -> None:
        """Bring a datagram to its port."""
        port, data = frames.read_datagram(frame)
        with contextlib.suppress(OSError):  # nobody there: datagrams may be lost
            endpoint = self._sockets.get(frame.session) or self._begin(frame.session, port)
            self._used[frame.session] = time.monotonic()
            endpoint.send(data)

    def close(self) -> None:
        """End all."""
        for endpoint in self._sockets.values():
            endpoint.close()
        self._sockets.clear()
        self._used.clear()

    def _answer(self, flow: int) -> None:
        endpoint = self._sockets.get(flow)
        if endpoint is None:
            return
        for _ in range(_AT_ONCE):
            try:
                data = endpoint.recv(_LARGEST)
            except OSError:  # nothing more, or nobody there
                return
            self._used[flow] = time.monotonic()
            self._send(frames.datagram(flow, 0, data))

    def _begin(self, flow: int, port: int) -> socket.socket:
        now = time.monotonic()
        idle = [other for other, used in self._used.items() if now - used > _IDLE]
        if len(self._used) >= _FLOWS:
            idle.append(min(self._used, key=self._used.__getitem__))
        for other in idle:
            self._sockets.pop(other).close()
            del self._used[other]
        endpoint = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        endpoint.settimeout(0)
        endpoint.connect(("127.0.0.1", port))
        self._sockets[flow] = endpoint
        return endpoint
