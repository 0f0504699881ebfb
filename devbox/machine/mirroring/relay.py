"""Bytes between our streams and a socket, in both directions."""

from __future__ import annotations

import os
import select
import socket

_READ = 64 << 10


def run(number: int) -> None:
    """Until either side ends."""
    with socket.socket(fileno=number) as connection:
        while True:
            for fd in select.select([0, number], [], [])[0]:
                data = os.read(fd, _READ)
                if not data:
                    return
                if fd == number:
                    _print(data)
                else:
                    connection.sendall(data)


def _print(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]
