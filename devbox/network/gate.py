"""In a machine: ask its host for a port, which is to be open there before the container starts."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from collections.abc import Sequence

from devbox.errors import ConflictError, DevboxError, HostError, UsageError

VARIABLE = "DEVBOX_GATE"
"""the socket of the agent that runs this command; nobody is asked without it"""
_PATIENCE = 10.0

Port = tuple[str, str, int]
"""protocol, address, number"""


def ask(ports: Sequence[Port]) -> None:
    """Have the host open all of them or none; ConflictError names who has one there."""
    path = os.environ.get(VARIABLE)
    if path and ports:
        _ask(path, ports)


def _ask(path: str, ports: Sequence[Port]) -> None:
    import json

    try:
        answer = json.loads(_exchange(path, json.dumps({"claim": ports}).encode() + b"\n"))
    except (OSError, ValueError) as error:
        raise HostError(f"the host of this machine does not answer for its ports: {error}") from error
    if "error" in answer:
        kinds: dict[str, type[DevboxError]] = {"ConflictError": ConflictError, "UsageError": UsageError}
        raise kinds.get(answer.get("kind"), HostError)(answer["error"], hint=answer.get("hint", ""))


def _exchange(path: str, question: bytes) -> bytes:
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(_PATIENCE)
        connection.connect(path)
        connection.sendall(question)
        answer = b""
        while not answer.endswith(b"\n"):
            part = connection.recv(65536)
            if not part:
                raise ConnectionResetError("it has gone")
            answer += part
        return answer
    finally:
        connection.close()
