"""Netlink sockets: a message to the kernel costs some 20 microseconds where starting a program costs 3 ms.

A socket belongs to the network namespace it was opened in, whatever its process does later.
"""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import _socket  # `socket` costs a command 3 ms and adds nothing that is needed here
import functools
import os
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_DUMP = 0x300
NLM_F_CREATE_EXCLUSIVE = 0x600
_NLM_F_REQUEST = 0x1
_NLM_F_ACK = 0x4
_NLM_F_DUMP_INTR = 0x10
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLMSGERR_ATTR_MSG = 1
_SOL_NETLINK = 270
_NETLINK_EXT_ACK = 11
NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF
_BATCH_BEGIN, _BATCH_END = 16, 17
_HEADER = struct.Struct("=IHHII")


class Message(NamedTuple):
    """One answer of the kernel: its type and what follows the netlink header."""

    kind: int
    body: bytes


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded."""
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + b"\0" * (-length % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The (type, payload) pairs of a run of attributes."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & _NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


class Netlink:
    """A netlink socket of the current network namespace."""

    def __init__(self, protocol: int) -> None:
        kind = _socket.SOCK_RAW | _socket.SOCK_CLOEXEC
        self._socket = _socket.socket(_socket.AF_NETLINK, kind, protocol)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._sequence = 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(self, kind: int, flags: int, body: bytes) -> list[Message]:
        """Send one message and return what the kernel answers; OSError with its reason when it refuses.

        A dump that changed while it was read is read again.
        """
        while True:
            self._sequence += 1
            header = _HEADER.pack(
                _HEADER.size + len(body), kind, flags | _NLM_F_REQUEST | _NLM_F_ACK, self._sequence, 0
            )
            self._socket.send(header + body)
            answers, interrupted = self._answers()
            if not interrupted:
                return answers

    def batch(self, subsystem: int, messages: Sequence[tuple[int, int, bytes]]) -> None:
        """Send (type, flags, body) messages to a netfilter subsystem as one transaction: all of them or none.

        Raises OSError with the reason of the first that the kernel refuses.
        """
        border = struct.pack(">BBH", 0, 0, subsystem)
        framed = [
            (_BATCH_BEGIN, 0, border),
            *((kind, flags | _NLM_F_ACK, body) for kind, flags, body in messages),
            (_BATCH_END, 0, border),
        ]
        data = b""
        for kind, flags, body in framed:
            self._sequence += 1
            data += _HEADER.pack(_HEADER.size + len(body), kind, flags | _NLM_F_REQUEST, self._sequence, 0) + body
        first = self._sequence - len(messages) - 1  # of the frame around them, answered only when it is refused
        self._socket.send(data)
        refused: OSError | None = None
        for _ in messages:
            answer = self._socket.recv(1 << 18)
            _, _, flags, sequence, _ = _HEADER.unpack_from(answer)
            try:
                _check(answer[_HEADER.size :], flags)
            except OSError as error:
                refused = refused or error
            if sequence <= first:
                break
        if refused:
            raise refused

    def _answers(self) -> tuple[list[Message], bool]:
        answers: list[Message] = []
        interrupted = False
        while True:
            data = self._socket.recv(1 << 18)
            offset = 0
            while offset < len(data):
                length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
                body = data[offset + _HEADER.size : offset + length]
                offset += (length + 3) & ~3
                if sequence != self._sequence:
                    continue
                interrupted = interrupted or bool(flags & _NLM_F_DUMP_INTR)
                if kind == _NLMSG_ERROR:
                    _check(body, flags)
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    return answers, interrupted
                answers.append(Message(kind, body))


@functools.cache
def netfilter() -> Netlink:
    """One socket for the life of the process: closing one waits 15 ms for the kernel to free what was deleted."""
    return Netlink(NETLINK_NETFILTER)


def _check(body: bytes, flags: int) -> None:
    number = -struct.unpack_from("=i", body)[0]
    if not number:
        return
    reason = os.strerror(number)
    if flags & _NLM_F_ACK_TLVS:
        offset = 4 + _HEADER.size
        if not flags & _NLM_F_CAPPED:
            offset = 4 + ((struct.unpack_from("=I", body, 4)[0] + 3) & ~3)
        told = dict(attributes(body[offset:])).get(_NLMSGERR_ATTR_MSG)
        reason += f" ({told.rstrip(bytes(1)).decode(errors='replace')})" if told else ""
    raise OSError(number, reason)
