"""The SSH agent of this host for a machine, when a command has asked for it: never by itself.

The machine listens at a path of its own for each agent's socket. Whoever connects there is joined to that socket;
no key leaves this host.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from devbox.errors import NotFoundError, RefusedError
from devbox.machine.frames import Frame, Kind

DIRECTORY = "/run/devbox-host"
DESKTOP = "/run/host-services/ssh-auth.sock"
"""what Docker Desktop calls the agent of the host, and people write in -v"""
_READ = 64 << 10
_WAITING = 64
"""pieces for a socket that does not take them; an agent is asked one thing at a time"""
_CONNECTIONS = 64

_WINDOWS = os.name == "nt"

Send = Callable[[Frame], None]


def place(host: str, path: str) -> str:
    """Where a machine listens for a socket of this host; `host` tells hosts of one machine apart."""
    return f"{DIRECTORY}/{hashlib.sha256(f'{host} {path}'.encode(errors='surrogateescape')).hexdigest()[:32]}"


def check(path: str, option: str) -> str:
    """The path, if an agent can be reached there. NotFoundError, RefusedError."""
    if _WINDOWS:
        raise RefusedError(f"{option}: the SSH agent of Windows is not forwarded to machines")
    if not path:
        raise NotFoundError(f"{option}: no SSH agent runs here", hint="start one: eval $(ssh-agent); ssh-add")
    return path


class Forwarded:
    """The connections of one machine to agents of this host."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._paths: dict[str, str] = {}
        self._flows: dict[int, _Flow] = {}

    def allow(self, paths: dict[str, str]) -> None:
        """Have the machine listen for these sockets from now on: its path -> ours."""
        self._paths |= paths
        self._send(Frame(Kind.AGENT, 0, json.dumps({"listen": [*self._paths]}).encode()))

    def again(self) -> None:
        """The same for another connection to the machine, which knows of nothing."""
        self._flows.clear()
        if self._paths:
            self.allow({})

    def receive(self, frame: Frame) -> None:
        """Act on what the machine says, without waiting for an agent."""
        if frame.session == 0:
            self._open(json.loads(frame.payload))
        elif flow := self._flows.get(frame.session):
            flow.put(frame.payload)

    def _open(self, document: dict[str, Any]) -> None:
        number, path = int(document["open"]), self._paths.get(str(document["at"]))
        if path is None or len(self._flows) >= _CONNECTIONS:
            self._send(Frame(Kind.AGENT, number))
        else:
            self._flows[number] = _Flow(path, lambda data: self._answer(number, data))

    def _answer(self, number: int, data: bytes) -> None:
        """In a thread of the connection."""
        if not data:
            self._flows.pop(number, None)
        self._send(Frame(Kind.AGENT, number, data))


class _Flow:
    """One connection, with a thread for each direction."""

    def __init__(self, path: str, answer: Callable[[bytes], None]) -> None:
        self._path, self._answer = path, answer
        self._todo: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._carry, daemon=True).start()

    def put(self, data: bytes) -> None:
        """From the machine; nothing at the end, and for one who asks without waiting for answers."""
        self._todo.put(data if self._todo.qsize() < _WAITING else b"")

    def _carry(self) -> None:
        if sys.platform != "win32":
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
                agent.connect(self._path)
                reader = threading.Thread(target=self._listen, args=(agent,), daemon=True)
                reader.start()
                while data := self._todo.get():
                    agent.sendall(data)
                agent.shutdown(socket.SHUT_RDWR)
                reader.join()
        self._answer(b"")

    def _listen(self, agent: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := agent.recv(_READ):
                self._answer(data)
        self._todo.put(b"")
