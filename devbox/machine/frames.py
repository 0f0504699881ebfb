"""What travels between the two sides, many commands over one stream of bytes: pure, for both ends.

A frame is a length, a kind, the number of a session and that many bytes. Streams are paid for in advance: nobody
sends more STDIN, STDOUT or STDERR than CREDIT has allowed (`WINDOW` at first), so a reader that stops costs no
memory and stops nobody else.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from devbox.errors import ConnectionLostError, MachineGoneError, RefusedError

_HEADER = struct.Struct(">IBI")
_CREDIT = struct.Struct(">BI")
_SIZE = struct.Struct(">HH")
_TIME = struct.Struct(">q")
_PORT = struct.Struct(">H")
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
    """a time of the sender's, which comes back"""
    PONG = 12
    """the ping's payload and then the own time"""
    PORTS = 13
    """JSON: a claim on ports of the host, its answer, or what is published now; see `guest.gate`"""
    DATAGRAM = 14
    """one of UDP; the session is the number of a flow, which the host chooses"""
    CLOCK = 15
    """by how many nanoseconds the machine's clock is to be moved"""
    AGENT = 16
    """of a connection to the SSH agent of the host, b"" at its end; the session is its number, which the machine
    chooses. Session 0: JSON, where the machine listens, or what was connected to"""


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
    """Cuts a stream of bytes into frames, however it arrives.

    What comes of a stream is handed on at once, as several frames if need be: nothing of it is kept.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._wanted = 0
        self._cut = Frame(Kind.STDOUT, 0)
        self._left = 0
        """bytes of the stream's frame `_cut` that have not come"""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now; RefusedError for what is none."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._wanted:
                return []
            data, self._rest = bytes(self._rest), bytearray()
        frames: list[Frame] = []
        at = 0
        while at < len(data):
            end, frame = self._next(data, at)
            if end > len(data):
                self._rest += data[at:]
                self._wanted = end - at
                break
            at = end
            if frame is not None:
                frames.append(frame)
        return frames

    def _next(self, data: bytes, at: int) -> tuple[int, Frame | None]:
        """Where the frame at a place ends, and the frame if it is there; a stream's ends with the data."""
        if self._left:
            end = min(len(data), at + self._left)
            self._left -= end - at
            return end, self._cut._replace(payload=data[at:end])
        begin = at + _HEADER.size
        if begin > len(data):
            return begin, None
        length, kind, session = _HEADER.unpack_from(data, at)
        if length > LARGEST or kind not in _KINDS:
            raise RefusedError(f"the other side sent what is no frame (kind {kind}, {length} bytes)")
        if kind in STREAMS:
            self._cut, self._left = Frame(_KINDS[kind], session), length
            return begin, None
        end = begin + length
        return end, Frame(_KINDS[kind], session, data[begin:end]) if end <= len(data) else None


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


def ping(now: int) -> Frame:
    """A question whether the other side lives, and what time it has; nanoseconds."""
    return Frame(Kind.PING, 0, _TIME.pack(now))


def pong(frame: Frame, now: int) -> Frame:
    """The answer to a ping."""
    return Frame(Kind.PONG, frame.session, frame.payload + _TIME.pack(now))


def read_pong(frame: Frame) -> tuple[int, int]:
    """When the ping was sent by our clock, and answered by the other one."""
    if len(frame.payload) != 2 * _TIME.size:
        raise RefusedError("the other side sent a broken frame of kind PONG")
    asked, answered = struct.unpack(">qq", frame.payload)
    return asked, answered


def clock(move: int) -> Frame:
    """A correction of the clock in nanoseconds."""
    return Frame(Kind.CLOCK, 0, _TIME.pack(move))


def read_clock(frame: Frame) -> int:
    """The nanoseconds."""
    (move,) = _TIME.unpack(_exactly(frame, _TIME))
    return int(move)


def lost(said: str) -> ConnectionLostError:
    """The error when no bytes can come any more, with what was said in the end."""
    return ConnectionLostError("the connection to the machine was lost" + (f": {said}" if said else ""))


def silent(seconds: float) -> MachineGoneError:
    """The error when nothing has come for that long, no PONG either."""
    return MachineGoneError(f"the machine has not answered for {seconds:.0f} s: it is frozen, or gone")


def datagram(flow: int, port: int, data: bytes) -> Frame:
    """A datagram to or from a published port."""
    return Frame(Kind.DATAGRAM, flow, _PORT.pack(port) + data)


def read_datagram(frame: Frame) -> tuple[int, bytes]:
    """The port and the datagram."""
    if len(frame.payload) < _PORT.size:
        raise RefusedError("the other side sent a broken frame of kind DATAGRAM")
    return _PORT.unpack_from(frame.payload)[0], frame.payload[_PORT.size :]


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
