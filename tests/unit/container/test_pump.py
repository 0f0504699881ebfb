"""Copying between descriptors: exact, bounded, and without waiting for the slow one alone."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from pathlib import Path

import pytest

from devbox.container.streams.pump import CHUNK, Flow, drain, pump, reader, writer


def flow(source: int, target: int) -> Flow:
    outlet = writer(target)
    return Flow(source, (outlet,), reader(source, outlet.put), lambda: os.close(outlet.fd))


def collect(source: int, found: list[bytes]) -> threading.Thread:
    def work() -> None:
        while data := os.read(source, 4096):
            found.append(data)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_more_than_a_pipe_holds_arrives_whole(tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "in").write_bytes(data)
    source = os.open(tmp_path / "in", os.O_RDONLY)
    far, near = os.pipe()
    found: list[bytes] = []
    one = flow(source, near)
    os.close(near)  # the outlet has a descriptor of its own
    thread = collect(far, found)
    pump([one], lambda: one.ended)
    thread.join(10)
    assert b"".join(found) == data
    os.close(source)
    os.close(far)


def test_a_full_outlet_stops_its_own_source_only() -> None:
    full_source, full_feed = os.pipe()
    _, full_sink = blocked = os.pipe()
    quick_source, quick_feed = os.pipe()
    quick_far, quick_near = os.pipe()
    full, quick = flow(full_source, full_sink), flow(quick_source, quick_near)
    os.set_blocking(full_feed, False)
    sent = 0
    os.write(quick_feed, b"quick")
    os.close(quick_feed)
    while True:
        try:
            sent += os.write(full_feed, b"x" * CHUNK)
        except BlockingIOError:
            break
    pump([full, quick], lambda: quick.ended)
    assert os.read(quick_far, 99) == b"quick"
    assert not full.ended
    drain([quick], 0)
    for fd in (full_source, full_feed, *blocked, quick_source, quick_far, quick_near):
        os.close(fd)


def test_the_flags_of_a_shared_descriptor_stay_as_they_are() -> None:
    far, near = os.pipe()
    outlet = writer(near)
    outlet.put(b"x" * 1_000_000)
    assert outlet.pending
    assert not fcntl.fcntl(near, fcntl.F_GETFL) & os.O_NONBLOCK
    for fd in {far, near, outlet.fd}:
        os.close(fd)


def test_a_socket_as_output() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        outlet = writer(ours.fileno())
        outlet.put(b"x" * 3_000_000)
        assert outlet.pending
        assert ours.getblocking()
        received = 0
        while outlet.pending or received < 3_000_000:
            received += len(theirs.recv(1 << 20))
            outlet.flush()
        assert received == 3_000_000


def test_nobody_reads_any_more() -> None:
    far, near = os.pipe()
    outlet = writer(near)
    os.close(far)
    with pytest.raises(BrokenPipeError):
        outlet.put(b"x")
    os.close(near)
    os.close(outlet.fd)


def test_drain_takes_what_is_there_and_does_not_wait_for_an_open_end() -> None:
    source, feed = os.pipe()
    far, near = os.pipe()
    one = flow(source, near)
    os.write(feed, b"there")
    drain([one], 0)
    assert os.read(far, 99) == b"there"
    assert not one.ended
    for fd in (source, feed, far, near):
        os.close(fd)


def test_closed_input_has_ended() -> None:
    source, feed = os.pipe()
    os.close(feed)
    os.close(source)
    assert reader(source, lambda _: None)() is False
