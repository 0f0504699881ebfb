"""A start that is cut off while the runtime creates the container: no process of it stays."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.engine.conftest import ENTRY, Box
from tests.engine.islands import eventually


def creating(root: Path) -> list[str]:
    """Processes that still have the command line with which the runtime was started."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"--bundle {root}/run/containers" in words:
            found.append(f"{pid} {words}")
    return found


def groups_of(containers: set[str]) -> list[Path]:
    base = Path("/sys/fs/cgroup")
    places = [*base.glob("*/devbox"), base / "devbox"]
    return [place / one for place in places for one in containers if (place / one).exists()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_of_a_create_that_was_cut_off_stays(fresh_box: Box, number: signal.Signals) -> None:
    """Cut off as soon as its first process waits to be let go, of which nothing has been written down then."""
    box = fresh_box
    box("bootstrap", "busybox")
    runtime = box.root / "run/runtime"
    argv = [*ENTRY, "run", "-d", "busybox", "sleep", "1000"]
    with subprocess.Popen(argv, env=box.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not list(runtime.glob("*/exec.fifo")):
            pass
        client.send_signal(number)
        client.wait(30)
    containers = set(os.listdir(box.root / "containers"))
    box("ps")
    box("rm", "-f", *containers, check=False)  # one that had been let go already
    assert eventually(lambda: not creating(box.root), 5), creating(box.root)
    assert not groups_of(containers)


def test_what_a_dead_runtime_left_in_the_group_is_killed(box: Box, name: str) -> None:
    """The same for certain: there is a process in the group, and no record of the runtime that knows it."""
    container = box.out("run", "-d", "--name", name, "busybox", "sleep", "1000")
    pid = int(box.out("inspect", "-f", "{{.State.Pid}}", name))
    with sqlite3.connect(box.root / "state.db") as db:
        db.execute("UPDATE containers SET status = 'created', pid = 0, pid_start = 0 WHERE id = ?", (container,))
    db.close()
    shutil.rmtree(box.root / "run/runtime" / container)
    box("ps")
    assert not alive(pid)
    assert not groups_of({container})
    assert not (box.root / "run/containers" / container).exists()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False
