"""Datagrams of a published UDP port: who sends from one address and port has a flow, and gets what it answers."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable

_LARGEST = 65535
_IDLE = 120.0
"""seconds after which a flow is forgotten, here and in the machine"""
_FLOWS = 4096
_AT_ONCE = 64

_numbers = itertools.count(1)


class Datagrams:
    """The flows of one port."""

    def __init__(self, endpoint: socket.socket, send: Callable[[int, bytes], None]) -> None:
        self._endpoint, self._send = endpoint, send
        self._flows: dict[tuple[str, int], int] = {}
        self._peers: dict[int, tuple[str, int]] = {}
        self._used: dict[int, float] = {}

    def receive(self) -> None:
        """Pass on what has arrived at the port."""
        for _ in range(_AT_ONCE):
            try:
                data, peer = self._endpoint.recvfrom(_LARGEST)
            except OSError:  # nothing more, or what an earlier answer has caused
                return
            flow = self._flows.get(peer) or self._begin(peer)
            self._used[flow] = time.monotonic()
            self._send(flow, data)

    def arrived(self, flow: int, data: bytes) -> None:
        """Give an answer to whom it is for, if the flow is one of this port's."""
        peer = self._peers.get(flow)
        if peer is None:
            return
        self._used[flow] = time.monotonic()
        try:
            self._endpoint.sendto(data, peer)
        except OSError:  # a full buffer, or nobody there: datagrams may be lost
            return

    def _begin(self, peer: tuple[str, int]) -> int:
        now = time.monotonic()
        idle = [flow for flow, used in self._used.items() if now - used > _IDLE]
        if len(self._used) >= _FLOWS:
            idle.append(min(self._used, key=self._used.__getitem__))
        for flow in idle:
            self._flows.pop(self._peers.pop(flow), None)
            self._used.pop(flow)
        flow = next(_numbers)
        self._flows[peer], self._peers[flow] = flow, peer
        return flow
