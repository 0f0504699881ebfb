"""Frames and requests survive their way, however it is cut."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import RefusedError, UsageError
from devbox.machine import frames, request, target
from devbox.machine.frames import Decoder, Frame, Kind
from devbox.machine.request import Request, Terminal
from devbox.model.invocation import Invocation

FRAMES = st.builds(Frame, st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.binary(max_size=300))


@given(st.lists(FRAMES, max_size=8), st.integers(1, 50))
def test_frames_arrive_in_whatever_pieces(sent: list[Frame], piece: int) -> None:
    """Whole, but for those of streams: of them whatever has come is handed on."""
    stream = b"".join(map(frames.encode, sent))
    decoder = Decoder()
    arrived: list[Frame] = []
    for at in range(0, len(stream), piece):
        for frame in decoder.feed(stream[at : at + piece]):
            last = arrived[-1] if arrived else frame
            if frame.kind in frames.STREAMS and arrived and last[:2] == frame[:2]:
                arrived[-1] = last._replace(payload=last.payload + frame.payload)
            else:
                arrived.append(frame)
    assert arrived == _joined(sent)


def _joined(sent: list[Frame]) -> list[Frame]:
    """Neighbours of one stream as one frame; an empty one says nothing."""
    joined: list[Frame] = []
    for frame in sent:
        stream = frame.kind in frames.STREAMS
        if stream and joined and joined[-1][:2] == frame[:2]:
            joined[-1] = frame._replace(payload=joined[-1].payload + frame.payload)
        elif frame.payload or not stream:
            joined.append(frame)
    return joined


def test_what_has_come_of_a_stream_is_handed_on_at_once() -> None:
    decoder = Decoder()
    data = frames.encode(Frame(Kind.STDOUT, 7, b"x" * 1000))
    assert decoder.feed(data[:9]) == []
    assert decoder.feed(data[9:10]) == [Frame(Kind.STDOUT, 7, b"x")]
    assert sum(len(frame.payload) for frame in decoder.feed(data[10:] + data)) == 1999


@pytest.mark.parametrize("header", [(frames.LARGEST + 1, 1, 1), (0, 99, 1)])
def test_what_is_no_frame_is_refused(header: tuple[int, int, int]) -> None:
    with pytest.raises(RefusedError):
        Decoder().feed(struct.pack(">IBI", *header))


def test_credit_and_size_have_their_shape() -> None:
    assert frames.read_credit(frames.credit(3, Kind.STDERR, 77)) == (Kind.STDERR, 77)
    assert frames.read_resize(frames.resize(3, 50, 70_000)) == (50, 65535)
    for kind, read in ((Kind.CREDIT, frames.read_credit), (Kind.RESIZE, frames.read_resize)):
        with pytest.raises(RefusedError):
            read(Frame(kind, 1, b"x"))
    with pytest.raises(RefusedError):
        frames.read_credit(frames.credit(1, Kind.OPEN, 1))


def test_receipts_are_worth_a_frame() -> None:
    receipts = frames.Receipts(9, Kind.STDOUT)
    assert receipts.consumed(frames.WINDOW // 4 - 1) is None
    assert receipts.consumed(1) == frames.credit(9, Kind.STDOUT, frames.WINDOW // 4)
    assert receipts.consumed(1) is None


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=())).filter(
    lambda text: (
        not any(0xD800 <= ord(sign) < 0xDC80 or (ord(sign) > 0xDCFF and ord(sign) < 0xE000) for sign in text)
    )
)
VALUES = TEXT | st.booleans() | st.integers() | st.none() | st.lists(TEXT, max_size=4).map(tuple)


@given(st.dictionaries(TEXT, VALUES, max_size=4), st.dictionaries(TEXT, TEXT, max_size=3), TEXT)
def test_a_request_arrives_as_it_was(params: dict, environment: dict, cwd: str) -> None:  # type: ignore[type-arg]
    sent = Request(Invocation(("container", "run"), params), cwd, environment, Terminal(stdin=True, rows=3))
    arrived = request.decode(request.encode(sent))
    assert arrived == sent
    assert [type(value) for value in arrived.invocation.params.values()] == [type(v) for v in params.values()]


def test_bytes_that_are_no_utf8_survive() -> None:
    word = b"\xff\xfe caf\xe9".decode(errors="surrogateescape")
    sent = Request(Invocation(("x",), {"command": (word,)}), "/", {}, Terminal())
    assert request.decode(request.encode(sent)).invocation.params["command"] == (word,)


@pytest.mark.parametrize("place", ["params", "cwd", "environment", "name"])
def test_nul_is_refused_before_it_is_sent(place: str) -> None:
    sent = Request(
        Invocation(("x",), {"command": ("a\0b" if place == "params" else "a\\u0000b",)}),
        "/\0" if place == "cwd" else "/",
        {"A\0" if place == "name" else "A": "\0" if place == "environment" else "b"},
        Terminal(),
    )
    with pytest.raises(RefusedError, match="NUL"):
        request.encode(sent)


def test_a_backslash_u0000_is_no_nul() -> None:
    sent = Request(Invocation(("x",), {"command": ("\\u0000",)}), "/", {}, Terminal())
    assert request.decode(request.encode(sent)) == sent


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"command": 1}', b"\xff", b'{"command":["a"],"params":{"a":{}}}']
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(RefusedError):
        request.decode(data)


def test_only_what_is_asked_for_travels() -> None:
    invocation = Invocation(("container", "run"), {"env": ("SECRET", "A=1", "UNSET")})
    environ = {"SECRET": "s", "A": "2", "TERM": "xterm", "PATH": "/bin"}
    assert request.asked_for(invocation, environ) == {"SECRET": "s", "TERM": "xterm"}


def test_the_machine_of_a_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert target.wanted(["ps"], {}) == (None, ["ps"])
    assert target.wanted(["--machine", "work", "ps", "-a"], {}) == ("work", ["ps", "-a"])
    assert target.wanted(["--machine=work", "ps"], {"DEVBOX_MACHINE": "other"}) == ("work", ["ps"])
    assert target.wanted(["run", "x", "--machine", "y"], {}) == (None, ["run", "x", "--machine", "y"])
    assert target.wanted(["ps"], {"DEVBOX_MACHINE": "other"}) == ("other", ["ps"])
    with pytest.raises(UsageError):
        target.wanted(["--machine"], {})
    monkeypatch.setattr("sys.platform", "win32")
    assert target.wanted(["ps"], {}) == ("", ["ps"])
