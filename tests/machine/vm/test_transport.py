"""Commands in a real machine whose clock goes wrong, that freezes, and that is killed and comes up again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from tests.machine.vm.conftest import NAME, Vm

SERVER = ("busybox", "sh", "-c", "echo hello >/tmp/index.html; exec httpd -f -h /tmp")
REPORTED = 15.0


@pytest.fixture
def port(vm: Vm) -> Iterator[int]:
    """Of this host; a container in the machine is published there, and comes back after a reboot."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number: int = listener.getsockname()[1]
    vm("--machine", NAME, "bootstrap", "busybox")
    vm("--machine", NAME, "run", "-d", "--restart", "always", "--name", "web", "-p", f"{number}:80", *SERVER)
    yield number
    vm("--machine", NAME, "rm", "-f", "web")


def test_a_machine_that_froze_or_was_killed_is_told_of_and_its_ports_come_back(vm: Vm, port: int) -> None:
    wait_until(lambda: served(port))
    (machine,) = [pid for pid, line in vm.processes().items() if "qemu-system" in line]
    waits = begin(vm, "wait", "web")
    os.kill(machine, signal.SIGSTOP)
    try:
        assert "has not answered for 12 s" in told(waits)
    finally:
        os.kill(machine, signal.SIGCONT)
    assert "web" in vm("--machine", NAME, "ps").stdout
    wait_until(lambda: served(port))

    waits = begin(vm, "wait", "web")
    os.kill(machine, signal.SIGKILL)
    assert "the machine is gone" in told(waits)
    assert not served(port)
    vm("machine", "up")
    wait_until(lambda: served(port), 90)


def test_its_clock_is_set(vm: Vm) -> None:
    vm("--machine", NAME, "ps")
    vm("machine", "ssh", "sudo", "date", "-s", "@1000000000")
    wait_until(lambda: difference(vm) < 1.5, 20)


def begin(vm: Vm, *words: str) -> subprocess.Popen[str]:
    """A command that has surely begun in the machine."""
    line = [sys.executable, "-m", "devbox", "--machine", NAME, *words]
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(line, cwd=vm.home, env=vm.environment, **{**vm.identity, **streams})
    time.sleep(3)
    assert process.poll() is None
    return process


def told(process: subprocess.Popen[str]) -> str:
    """What it says in the end, which must come in time."""
    since = time.monotonic()
    _, text = process.communicate(timeout=60)
    assert process.returncode == 125, text
    assert time.monotonic() - since < REPORTED
    return text


def difference(vm: Vm) -> float:
    """How far the machine's clock is off, in seconds, a call's duration included."""
    theirs = float(vm("machine", "ssh", "date", "+%s.%N").stdout)
    return abs(time.time() - theirs)


def served(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=5) as answer:
            return bool(answer.read() == b"hello\n")
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.2)
