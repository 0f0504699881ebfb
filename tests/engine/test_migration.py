"""What makes moves between control groups quick leaves nothing behind and holds nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbox.system import migration
from tests.engine.conftest import Box


@pytest.fixture
def child() -> Iterator[int]:
    before = children()
    migration.hasten()
    (pid,) = children() - before
    yield pid
    migration.over()


def children() -> set[int]:
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


def test_it_ends_when_told(child: int) -> None:
    migration.over()
    assert child not in children()


def test_it_ends_by_itself(child: int) -> None:
    time.sleep(0.5)
    assert Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2][0] == "Z"


def test_it_stays_in_our_groups_and_holds_no_file_of_ours(child: int) -> None:
    time.sleep(0.05)
    assert Path(f"/proc/{child}/cgroup").read_text() == Path("/proc/self/cgroup").read_text()
    held = {os.readlink(entry) for entry in Path(f"/proc/{child}/fd").iterdir()}
    assert len(held) == 1
    assert held.pop().endswith("/cgroup.procs")


def test_a_run_that_goes_on_has_no_child_of_it(box: Box, name: str) -> None:
    process = box.popen("run", "--rm", "--name", name, "--network", "none", "busybox", "sleep", "1000")
    deadline = time.monotonic() + 30
    while not box("ps", "-q", "--filter", f"name={name}").stdout and time.monotonic() < deadline:
        time.sleep(0.05)
    own = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in own]
    box("rm", "-f", name)
    process.communicate(timeout=30)
    assert not [each for each in names if each not in ("s6-log", "conmon", "crun")]
