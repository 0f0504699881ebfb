"""What travels between the two sides, many commands over one stream of bytes: pure, for both ends.

A frame is a length, a kind, the number of a session and that many bytes. Streams are paid for in advance: nobody
sends more STDIN, STDOUT or STDERR than CREDIT has allowed (`WINDOW` at first), so a reader that stops costs no
memory and stops nobody else.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from devbox.errors import RefusedError

_HEADER = struct.Struct(">IBI")
_CREDIT = struct.Struct(">BI")
_SIZE = struct.Struct(">HH")
LARGEST = 16 << 20
"""of one frame; only OPEN comes near"""
PIECE = 128 << 10
"""how much of a stream goes into one frame at most"""
WINDOW = 1 << 20


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 0
    """JSON, the first frame of the side that answers: it is ready, or why not"""
    OPEN = 1
    """a request begins the session"""
    STDIN = 2
    STDIN_END = 3
    STDOUT = 4
    STDERR = 5
    RESIZE = 6
    SIGNAL = 7
    """a signal's name without SIG"""
    CREDIT = 8
    EXIT = 9
    """JSON, the last frame of a session: code, signal, or why nobody knows"""
    CLOSE = 10
    """nobody waits for the session any more: end it"""
    PING = 11
    PONG = 12


STREAMS = (Kind.STDIN, Kind.STDOUT, Kind.STDERR)


class Frame(NamedTuple):
    """One message; session 0 is the connection itself."""

    kind: Kind
    session: int
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """A frame as bytes."""
    return _HEADER.pack(len(frame.payload), frame.kind, frame.session) + frame.payload


class Decoder:
    """Cuts a stream of bytes into frames, however it arrives."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now; RefusedError for what is none."""
        self._rest += data
        frames, at, size = [], 0, len(self._rest)
        with memoryview(self._rest) as view:
            while size - at >= _HEADER.size:
                length, kind, session = _HEADER.unpack_from(view, at)
                if length > LARGEST or kind not in _KINDS:
                    raise RefusedError(f"the other side sent what is no frame (kind {kind}, {length} bytes)")
                end = at + _HEADER.size + length
                if end > size:
                    break
                frames.append(Frame(_KINDS[kind], session, bytes(view[at + _HEADER.size : end])))
                at = end
        del self._rest[:at]
        return frames


_KINDS = {int(kind): kind for kind in Kind}


def credit(session: int, stream: Kind, amount: int) -> Frame:
    """Leave to send that many more bytes of a stream."""
    return Frame(Kind.CREDIT, session, _CREDIT.pack(stream, amount))


def read_credit(frame: Frame) -> tuple[Kind, int]:
    """The stream and the number of bytes."""
    stream, amount = _CREDIT.unpack(_exactly(frame, _CREDIT))
    if stream not in STREAMS:
        raise RefusedError(f"the other side gave credit for what is no stream ({stream})")
    return _KINDS[stream], amount


def resize(session: int, rows: int, columns: int) -> Frame:
    """The terminal's size."""
    return Frame(Kind.RESIZE, session, _SIZE.pack(min(rows, 0xFFFF), min(columns, 0xFFFF)))


def read_resize(frame: Frame) -> tuple[int, int]:
    """Rows and columns."""
    rows, columns = _SIZE.unpack(_exactly(frame, _SIZE))
    return rows, columns


def _exactly(frame: Frame, shape: struct.Struct) -> bytes:
    if len(frame.payload) != shape.size:
        raise RefusedError(f"the other side sent a broken frame of kind {frame.kind.name}")
    return frame.payload


class Receipts:
    """The receiver's side of a stream's credit: collects what was consumed until it is worth a frame."""

    def __init__(self, session: int, stream: Kind) -> None:
        self._session, self._stream = session, stream
        self._owed = 0

    def consumed(self, amount: int) -> Frame | None:
        """So much has gone on; the frame to send now, if any."""
        self._owed += amount
        if self._owed < WINDOW // 4:
            return None
        frame = credit(self._session, self._stream, self._owed)
        self._owed = 0
        return frame
