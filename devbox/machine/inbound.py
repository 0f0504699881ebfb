"""What comes from a machine for the broker: streams of clients go on at once, all else waits for its thread."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping

from devbox.errors import RefusedError
from devbox.machine import frames
from devbox.machine.broker_client import BrokerClient
from devbox.machine.frames import Frame, Kind

_OUTPUT = (Kind.STDOUT, Kind.STDERR)


class Inbound:
    """`take` runs in the thread that deciphers and never waits."""

    def __init__(self, clients: Mapping[int, BrokerClient], much_came: Callable[[], None]) -> None:
        self._clients, self._much_came = clients, much_came
        self._decoder = frames.Decoder()
        self._frames: queue.SimpleQueue[Frame | Exception] = queue.SimpleQueue()
        self._came = 0
        self.heard = time.monotonic()
        """when something came"""

    def take(self, data: bytes) -> None:
        """Bytes, b"" at the end."""
        if not data:
            self._frames.put(EOFError())
            return
        self.heard = time.monotonic()
        try:
            for frame in self._decoder.feed(data):
                client = self._clients.get(frame.session) if frame.kind in _OUTPUT else None
                if client is not None:
                    client.put(frame._replace(session=client.session))
                else:
                    self._frames.put(frame)
        except RefusedError as error:
            self._frames.put(error)
        self._came += len(data)
        if self._came > frames.WINDOW:
            self._came = 0
            self._much_came()

    def next(self, patience: float) -> Frame | None:
        """The next frame that is no output of a client, None when none comes; EOFError at the end."""
        try:
            found = self._frames.get(timeout=patience)
        except queue.Empty:
            return None
        if isinstance(found, Exception):
            raise found
        return found
