"""Ports of this host that lead into a machine: bound before a container may start, kept while it publishes them.

A claim comes from the machine's engine while it starts a container, and is answered at once. The list of all that
is published comes whenever it has changed, and settles what stays open.
"""

from __future__ import annotations

import errno
import json
import os
import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from devbox.errors import ConflictError, DevboxError, HostError, UsageError
from devbox.machine.publishing import holders
from devbox.machine.publishing.datagrams import Datagrams

ANY = "0.0.0.0"
LOCAL = "127.0.0.1"
_UNCONFIRMED = 15.0
"""seconds in which a claim must show up in the list of what is published"""
_BACKLOG = 128
_PIECE = 128 << 10


class Stream(Protocol):
    """A connection inside the machine: paramiko's channel."""

    def send(self, data: bytes, /) -> int:
        """Some of it."""

    def recv(self, size: int, /) -> bytes:
        """Some bytes, b"" at the end."""

    def shutdown_write(self) -> None:
        """No more will be sent."""

    def close(self) -> None:
        """Both directions end."""


Dial = Callable[[str, int, tuple[str, int]], Stream]
"""connects to an address in the machine on behalf of a peer; OSError when nobody listens there"""


class Key(NamedTuple):
    """A port of this host."""

    protocol: str
    address: str
    port: int


class _Forward:
    def __init__(self, key: Key, endpoint: socket.socket) -> None:
        self.key, self.endpoint = key, endpoint
        self.target = LOCAL
        self.since = time.monotonic()
        self.confirmed = False
        self.datagrams: Datagrams | None = None


class Forwards:
    """All forwarded ports of one machine; one thread waits for connections, two more carry each."""

    def __init__(self, dial: Dial, send: Callable[[int, int, bytes], None]) -> None:
        self._dial, self._send = dial, send
        self._table: dict[Key, _Forward] = {}
        self._complained: set[Key] = set()
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._waiting, self._waker = socket.socketpair()
        self._selector.register(self._waiting, selectors.EVENT_READ)
        self._carried = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def wanted(self) -> bool:
        """Whether any port is held."""
        return bool(self._table)

    @property
    def busy(self) -> bool:
        """Whether a port is held or a connection carried."""
        return bool(self._table or self._carried)

    def claim(self, ports: Iterable[Iterable[Any]]) -> DevboxError | None:
        """Bind all of [protocol, address, port] or none; the error names who has one of them."""
        made: list[Key] = []
        for protocol, address, port in ports:
            key = Key(str(protocol), _shown(str(address)), int(port))
            if key in self._table:
                self._table[key].since = time.monotonic()
                continue
            try:
                self._open(key)
            except OSError as error:
                for other in made:
                    self._drop(other)
                return _refusal(key, error)
            made.append(key)
        return None

    def settle(self, published: Iterable[Iterable[Any]]) -> None:
        """Hold just what is in the list of [protocol, address, port, address in the machine], and young claims."""
        wanted = {}
        for protocol, address, port, inside in published:
            wanted[Key(str(protocol), _shown(str(address)), int(port))] = str(inside)
        for key, forward in [*self._table.items()]:
            old = forward.confirmed or time.monotonic() - forward.since > _UNCONFIRMED
            if key not in wanted and old:
                self._drop(key)
        for key, inside in wanted.items():
            if key not in self._table and not self._open_quietly(key):
                continue
            self._table[key].confirmed = True
            self._table[key].target = LOCAL if inside == ANY else inside

    def release(self) -> None:
        """Give every port up; connections go on."""
        for key in [*self._table]:
            self._drop(key)

    def arrived(self, flow: int, data: bytes) -> None:
        """A datagram came from the machine."""
        for forward in [*self._table.values()]:
            if forward.datagrams is not None:
                forward.datagrams.arrived(flow, data)

    def _open(self, key: Key) -> None:
        endpoint = _bind(key)
        forward = _Forward(key, endpoint)
        if key.protocol == "udp":
            forward.datagrams = Datagrams(endpoint, lambda flow, data: self._send(flow, key.port, data))
        with self._lock:
            self._table[key] = forward
            self._selector.register(endpoint, selectors.EVENT_READ, forward)
        self._waker.send(b"x")

    def _open_quietly(self, key: Key) -> bool:
        try:
            self._open(key)
        except OSError as error:
            if key not in self._complained:
                self._complained.add(key)
                sys.stderr.write(f"devbox: {_refusal(key, error).message}; it is tried again\n")
                sys.stderr.flush()
            return False
        self._complained.discard(key)
        return True

    def _drop(self, key: Key) -> None:
        with self._lock:
            forward = self._table.pop(key)
            self._selector.unregister(forward.endpoint)
            forward.endpoint.close()

    def _accept(self) -> None:
        """Thread: connections and datagrams of all ports."""
        while True:
            for key, _ in self._selector.select():
                with self._lock:
                    self._receive(key.data)

    def _receive(self, forward: _Forward | None) -> None:
        if forward is None:
            self._waiting.recv(4096)
        elif forward.key not in self._table:
            return  # closed in the same moment
        elif forward.datagrams is not None:
            forward.datagrams.receive()
        else:
            try:
                connection, peer = forward.endpoint.accept()
            except OSError:  # it went away again, or there is no file descriptor left
                return
            self._carried += 1
            job = (connection, peer, forward.target, forward.key.port)
            threading.Thread(target=self._carry, args=job, daemon=True).start()

    def _carry(self, connection: socket.socket, peer: tuple[str, int], address: str, port: int) -> None:
        """Thread: one connection, from its beginning to its end."""
        try:
            with connection:
                connection.settimeout(None)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    stream = self._dial(address, port, peer)
                except OSError:
                    _reset(connection)
                    return
                out = threading.Thread(target=_upload, args=(connection, stream), daemon=True)
                out.start()
                _download(stream, connection)
                out.join()
                stream.close()
        finally:
            with self._lock:
                self._carried -= 1


def _upload(connection: socket.socket, stream: Stream) -> None:
    try:
        while data := connection.recv(_PIECE):
            view = memoryview(data)
            while view:
                view = view[stream.send(bytes(view)) :]
        stream.shutdown_write()
    except (OSError, EOFError):
        stream.close()


def _download(stream: Stream, connection: socket.socket) -> None:
    try:
        while data := stream.recv(_PIECE):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        stream.close()
        _wake(connection)


def _wake(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _reset(connection: socket.socket) -> None:
    """As a port without a listener would: the peer's connection is reset, not ended in order."""
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def _bind(key: Key) -> socket.socket:
    kind = socket.SOCK_STREAM if key.protocol == "tcp" else socket.SOCK_DGRAM
    endpoint = socket.socket(socket.AF_INET, kind)
    try:
        if key.protocol == "tcp" and sys.platform != "win32":
            endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        endpoint.bind((key.address, key.port))
        endpoint.settimeout(0)
        if key.protocol == "tcp":
            endpoint.listen(_BACKLOG)
    except OSError:
        endpoint.close()
        raise
    return endpoint


def _shown(address: str) -> str:
    return LOCAL if address in ("", ANY) else address


def _refusal(key: Key, error: OSError) -> DevboxError:
    what = f"port {key.port}/{key.protocol} of this host"
    if error.errno == errno.EADDRINUSE:
        holder = holders.of_port(key.protocol, key.port)
        return ConflictError(f"{what} is taken by {holder}", hint="stop it, or publish another port")
    if error.errno == errno.EADDRNOTAVAIL:
        return UsageError(f"{key.address} is not an address of this host", hint="leave it out for 127.0.0.1")
    return HostError(f"cannot open {what}: {os.strerror(error.errno or 0).lower()}")


def answer(number: Any, refused: DevboxError | None) -> bytes:
    """The payload that answers a claim."""
    document = {"id": number}
    if refused is not None:
        document |= {"kind": type(refused).__name__, "error": refused.message, "hint": refused.hint}
    return json.dumps(document).encode()
