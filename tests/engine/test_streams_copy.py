"""run -i and attach without a terminal: byte-exact, in little memory, whoever is slow, killed or comes later."""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.conftest import Box

PIPE = subprocess.PIPE
Client = subprocess.Popen[bytes]
Join = Callable[..., Client]


@pytest.fixture
def join(box: Box) -> Iterator[Join]:
    """Starts clients; they and their pipes are closed with the test."""
    clients: list[Client] = []

    def start(*args: str, **kwargs: Any) -> Client:
        clients.append(box.popen(*args, **kwargs))
        return clients[-1]

    yield start
    for client in clients:
        for pipe in (client.stdin, client.stdout, client.stderr):
            if pipe:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        client.kill()
        client.wait()


def exchange(client: Client, size: int) -> tuple[str, str, int]:
    """Feed `size` random bytes and read all output; both digests, and the most memory the client had (KiB)."""
    assert client.stdin
    assert client.stdout
    block = os.urandom(1 << 20)
    source, sink = client.stdin.fileno(), client.stdout.fileno()
    os.set_blocking(source, False)
    sent, received, peak = hashlib.md5(), hashlib.md5(), 0
    left = size
    poll = select.poll()
    poll.register(source, select.POLLOUT)
    poll.register(sink, select.POLLIN)
    while True:
        for fd, _ in poll.poll(30_000):
            if fd == source and left:
                start = (size - left) % len(block)
                try:
                    written = os.write(source, block[start : start + min(left, 1 << 16)])
                except BlockingIOError:
                    continue
                sent.update(block[start : start + written])
                left -= written
                if not left:
                    poll.unregister(source)
                    client.stdin.close()
            elif fd == sink:
                data = os.read(sink, 1 << 16)
                if not data:
                    return sent.hexdigest(), received.hexdigest(), peak
                received.update(data)
        peak = max(peak, resident(client.pid))


def resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


@pytest.mark.parametrize("command", ["run", "exec"])
def test_binary_data_goes_through_cat_unchanged(box: Box, join: Join, name: str, command: str) -> None:
    size = int(os.environ.get("DEVBOX_TEST_STREAM_MIB", "64")) << 20
    if command == "run":
        words = ["run", "-i", "--rm", "--log-driver", "none", "--name", name, "busybox", "cat"]
    else:
        box("run", "-d", "--name", name, "busybox", "sleep", "100")
        words = ["exec", "-i", name, "cat"]
    client = join(*words, stdin=PIPE, stdout=PIPE)
    sent, received, peak = exchange(client, size)
    assert client.wait(timeout=30) == 0
    assert received == sent
    assert peak < 40_000


def test_what_is_logged_as_well_is_exact_both_ways(box: Box, join: Join, name: str) -> None:
    client = join("run", "-i", "--name", name, "busybox", "cat", stdin=PIPE, stdout=PIPE)
    size = 3 << 20
    sent, received, _ = exchange(client, size)
    assert client.wait(timeout=30) == 0
    assert received == sent
    logs = join("logs", name, stdout=PIPE)
    assert hashlib.md5(logs.communicate()[0]).hexdigest() == sent


@pytest.mark.parametrize("command", ["run", "exec"])
def test_streams_exit_codes_and_empty_input(box: Box, name: str, command: str) -> None:
    if command == "run":
        words = ["run", "-i", "--name", name, "busybox"]
    else:
        box("run", "-d", "--name", name, "busybox", "sleep", "100")
        words = ["exec", "-i", name]
    done = box(*words, "sh", "-c", "echo out; echo err >&2; cat; exit 42", input="", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 42)


def test_output_before_anybody_could_attach_is_not_lost(box: Box) -> None:
    for _ in range(5):
        assert box.out("run", "--rm", "--network", "none", "busybox", "seq", "1", "300").split()[-1] == "300"


def test_a_process_that_closes_its_input_costs_no_processor(box: Box, join: Join, name: str) -> None:
    client = join(
        "run", "-i", "--name", name, "busybox", "sh", "-c", "exec <&-; echo ready; exec sleep 100",
        stdin=PIPE, stdout=PIPE,
    )  # fmt: skip
    assert client.stdout
    assert client.stdin
    assert client.stdout.readline() == b"ready\n"
    client.stdin.write(b"x" * 10_000)
    client.stdin.flush()
    time.sleep(0.2)
    monitor = int(
        (box.root / "run/containers" / box.out("inspect", "-f", "{{.Id}}", name) / "conmon.pid").read_text()
    )
    before = ticks(monitor) + ticks(client.pid)
    time.sleep(0.5)
    assert ticks(monitor) + ticks(client.pid) - before < 5
    box("kill", name)
    assert client.wait(timeout=10) == 137


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_slow_reader_slows_the_container_and_loses_nothing(box: Box, join: Join, name: str) -> None:
    client = join("run", "--name", name, "busybox", "seq", "1", "200000", stdout=PIPE)
    assert client.stdout
    time.sleep(0.5)
    assert client.stdout.read().split()[-1] == b"200000"
    assert client.wait(timeout=10) == 0


def test_a_killed_client_leaves_the_container_running(box: Box, join: Join, name: str) -> None:
    client = join(
        "run", "--name", name, "busybox", "sh", "-c", "while true; do echo tick; sleep 0.05; done", stdout=PIPE
    )
    assert client.stdout
    assert client.stdout.readline() == b"tick\n"
    client.kill()
    client.wait()
    time.sleep(0.3)
    assert box.out("inspect", "-f", "{{.State.Status}}", name) == "running"
    assert int(box.out("logs", name).count("tick")) > 3


def test_several_clients_see_the_same_and_one_of_them_dies(box: Box, join: Join, name: str) -> None:
    box("run", "-d", "-i", "--name", name, "busybox", "sh", "-c", "while read x; do echo got $x; done")
    first, second = (join("attach", name, stdin=PIPE, stdout=PIPE) for _ in range(2))
    third = join("attach", "--no-stdin", name, stdout=PIPE)
    time.sleep(0.5)
    for client, line in ((first, b"one\n"), (second, b"two\n")):
        assert client.stdin
        client.stdin.write(line)
        client.stdin.flush()
        for other in (first, second, third):
            assert other.stdout
            assert other.stdout.readline() == b"got " + line
    first.kill()
    first.wait()
    assert second.stdin
    assert third.stdout
    second.stdin.write(b"three\n")
    second.stdin.flush()
    assert third.stdout.readline() == b"got three\n"
    # -d -i: the input stays open when a client leaves
    second.stdin.close()
    assert second.wait(timeout=10) == 0
    assert box.out("inspect", "-f", "{{.State.Status}}", name) == "running"
    box("kill", name)
    assert third.wait(timeout=10) == 137


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 15), (signal.SIGINT, 2), (signal.SIGUSR1, 10)])
def test_signals_are_passed_on(box: Box, join: Join, name: str, number: int, code: int) -> None:
    script = 'for n in 2 10 15; do trap "exit $n" $n; done; echo ready; while true; do sleep 0.05; done'
    client = join("run", "--name", name, "busybox", "sh", "-c", script, stdout=PIPE)
    assert client.stdout
    assert client.stdout.readline() == b"ready\n"
    client.send_signal(number)
    assert client.wait(timeout=10) == code


def test_without_sig_proxy_a_signal_is_the_client_s(box: Box, join: Join, name: str) -> None:
    client = join(
        "run", "--sig-proxy=false", "--name", name, "busybox", "sh", "-c", "echo ready; sleep 100", stdout=PIPE
    )
    assert client.stdout
    assert client.stdout.readline() == b"ready\n"
    client.send_signal(signal.SIGTERM)
    assert client.wait(timeout=10) == -signal.SIGTERM
    assert box.out("inspect", "-f", "{{.State.Status}}", name) == "running"


def test_attach_returns_the_exit_code_and_wants_a_running_container(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sh", "-c", "sleep 0.6; echo last; exit 9")
    done = box("attach", name, check=False)
    assert (done.stdout, done.returncode) == ("last\n", 9)
    assert f"container {name} is not running" in box.fails("attach", name)


def test_a_reader_that_has_gone_ends_the_client(box: Box, join: Join, name: str) -> None:
    client = join("run", "--name", name, "busybox", "yes", stdout=PIPE, stderr=PIPE)
    assert client.stdout
    assert client.stderr
    client.stdout.read(100)
    client.stdout.close()
    assert client.wait(timeout=10) != 0
    assert b"Traceback" not in client.stderr.read()


def test_only_the_streams_asked_for(box: Box, name: str) -> None:
    done = box("run", "-a", "stderr", "--name", name, "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("", "err\n")
    assert box("logs", name).stdout == "out\n"


def test_closed_descriptors_of_the_caller(box: Box, name: str) -> None:
    words = f'exec "$0" -m devbox run -i --name {name} busybox sh -c "cat; echo out; echo err >&2" <&- 2>&-'
    done = subprocess.run(
        ["sh", "-c", words, sys.executable],
        env=box.env, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("out\n", 0)
