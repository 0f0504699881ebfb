"""What goes on beside the commands: clocks, ports of this host, and whose stdin is read."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.errors import ConflictError, RefusedError, UsageError
from devbox.machine import clock, frames, request
from devbox.machine.frames import Frame, Kind
from devbox.machine.publishing import forwards
from devbox.machine.publishing.forwards import Forwards
from devbox.model.invocation import Invocation, Value

SECOND = 1_000_000_000


@given(st.integers(0, 2**61), st.integers(0, SECOND), st.integers(0, 40_000_000), st.booleans())
def test_a_clock_within_the_tolerance_is_left_alone(now: int, way: int, off: int, ahead: bool) -> None:
    answered = now + way // 2 + (off if ahead else -off)
    assert clock.correction(now, answered, now + way) == 0


@given(st.integers(0, 2**61), st.integers(0, SECOND), st.integers(2 * SECOND, 10**18), st.booleans())
def test_a_clock_that_is_off_is_set_to_the_middle_of_the_way(now: int, way: int, off: int, ahead: bool) -> None:
    answered = now + way // 2 + (off if ahead else -off)
    assert clock.correction(now, answered, now + way) == (-off if ahead else off)


def test_times_and_datagrams_have_their_shape() -> None:
    ping = frames.ping(5)
    assert frames.read_pong(frames.pong(ping, -7)) == (5, -7)
    assert frames.read_clock(frames.clock(-(10**18))) == -(10**18)
    assert frames.read_datagram(frames.datagram(9, 53, b"query")) == (53, b"query")
    with pytest.raises(RefusedError):
        frames.read_pong(Frame(Kind.PONG, 0, struct.pack(">q", 1)))
    with pytest.raises(RefusedError):
        frames.read_datagram(Frame(Kind.DATAGRAM, 0, b"x"))


@pytest.mark.parametrize(
    ("command", "params", "reads"),
    [
        ("container run", {"interactive": True}, True),
        ("container run", {"interactive": False, "command": ("-",)}, False),
        ("container exec", {"interactive": False}, False),
        ("container attach", {"no_stdin": False}, True),
        ("container attach", {"no_stdin": True}, False),
        ("container ls", {"all": True}, False),
        ("container rm", {"force": False, "containers": ("a",)}, False),
        ("image load", {"input": None}, True),
        ("image build", {"context": "-"}, True),
        ("image build", {"context": "."}, False),
        ("image prune", {"force": False}, True),
        ("image prune", {"force": True}, False),
    ],
)
def test_stdin_is_read_for_what_reads_it(command: str, params: dict[str, Value], *, reads: bool) -> None:
    assert request.reads_stdin(Invocation(tuple(command.split()), params)) is reads


@pytest.fixture
def ports() -> Iterator[Forwards]:
    def nobody(*_: object) -> forwards.Stream:
        raise ConnectionRefusedError

    one = Forwards(nobody, lambda flow, port, data: None)
    yield one
    one.release()


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number: int = listener.getsockname()[1]
    return number


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:
        pass
    return True


def test_a_claim_is_all_or_nothing_and_names_the_holder(ports: Forwards) -> None:
    first, second = free(), free()
    with socket.create_server(("127.0.0.1", second)):
        refused = ports.claim([["tcp", "0.0.0.0", first], ["tcp", "", second]])
    assert isinstance(refused, ConflictError)
    assert "(pid " in refused.message
    assert not listens(first)
    assert ports.claim([["tcp", "0.0.0.0", first], ["tcp", "", second]]) is None
    assert listens(first)
    assert listens(second)
    assert isinstance(ports.claim([["udp", "192.0.2.9", first]]), UsageError)


def test_what_is_published_settles_what_is_open(ports: Forwards) -> None:
    stays, goes, young = free(), free(), free()
    ports.settle([["tcp", "127.0.0.1", stays, "0.0.0.0"], ["tcp", "127.0.0.1", goes, "0.0.0.0"]])
    assert ports.claim([["tcp", "127.0.0.1", young]]) is None
    ports.settle([["tcp", "127.0.0.1", stays, "0.0.0.0"]])
    assert (listens(stays), listens(goes), listens(young)) == (True, False, True)
    ports.settle([["tcp", "127.0.0.1", young, "0.0.0.0"]])
    ports.settle([])
    assert not ports.wanted


def test_a_published_port_that_is_taken_here_is_opened_when_it_can_be(
    ports: Forwards, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free()
    published = [["tcp", "127.0.0.1", port, "0.0.0.0"]]
    with socket.create_server(("127.0.0.1", port)):
        ports.settle(published)
        ports.settle(published)
    assert capsys.readouterr().err.count("is tried again") == 1
    ports.settle(published)
    assert listens(port)
