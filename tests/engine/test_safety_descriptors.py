"""Descriptors: a container has three, and what our caller left open goes to no process that outlives a command."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import Box
from tests.engine.islands import eventually


@pytest.fixture
def open_file(tmp_path: Path) -> Iterator[int]:
    """A descriptor that a careless caller leaves open for everything it starts."""
    fd = os.open(tmp_path / "of the caller", os.O_RDWR | os.O_CREAT, 0o600)
    yield fd
    os.close(fd)


def holders(path: Path) -> list[str]:
    """Processes but us that have a file open."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            places = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended, or is nobody's business
        if str(path) in places and int(pid) != os.getpid():
            found.append(words)
    return found


def run_with(box: Box, fd: int, *args: str) -> None:
    process = box.popen(*args, pass_fds=(fd,))
    assert process.wait(60) == 0


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_a_container_and_its_helpers_hold_nothing_of_the_caller(
    box: Box, name: str, runtime: str, open_file: int, tmp_path: Path
) -> None:
    words = ["run", "-d", "--name", name, "--runtime", runtime, "--health-cmd", "true", "--restart", "always"]
    run_with(box, open_file, *words, "busybox", "sleep", "1000")
    run_with(box, open_file, "exec", "-d", name, "sleep", "1000")
    assert not holders(tmp_path / "of the caller")


def test_nor_does_the_monitor_of_one_without_a_log(box: Box, name: str, open_file: int, tmp_path: Path) -> None:
    """Its logger would be the first process that makes us close what the caller left open."""
    run_with(box, open_file, "run", "-d", "--name", name, "--log-driver", "none", "busybox", "sleep", "1000")
    assert not holders(tmp_path / "of the caller")


def test_a_logger_that_comes_back_holds_nothing_of_the_caller(
    box: Box, name: str, open_file: int, tmp_path: Path
) -> None:
    container = box.out("run", "-d", "--name", name, "busybox", "sleep", "1000")
    before = logger(container)
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: logger(container) == 0)
    run_with(box, open_file, "ps")
    assert eventually(lambda: logger(container))
    assert not holders(tmp_path / "of the caller")


def logger(container: str) -> int:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words.startswith(b"s6-log") and container.encode() in words:
            return int(pid)
    return 0
