"""What a killed command leaves, and what only looks like it."""

from __future__ import annotations

import os
import signal
import time

from tests.engine.conftest import Box
from tests.engine.islands import eventually
from tests.engine.test_crash import killed_at


def test_a_lock_without_a_container_goes(fresh_box: Box) -> None:
    fresh_box("bootstrap", "busybox")
    locks = fresh_box.root / "run/locks"
    killed_at(fresh_box, "mkdir", 1, "create", "--name", "a", "busybox", "true")
    fresh_box("ps")
    locks.mkdir(exist_ok=True)
    stray = locks / f"{'a' * 64}.operation"
    young = locks / f"{'b' * 64}.operation"
    for path in (stray, young):
        path.write_bytes(b"")
    os.utime(stray, (time.time() - 1000, time.time() - 1000))
    (fresh_box.root / "tmp/create.0123456789abcdef").mkdir()
    fresh_box("ps")
    assert not stray.exists()
    assert young.exists()
    assert not list((fresh_box.root / "tmp").iterdir())


def test_a_network_that_nobody_uses_yet_is_in_order(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
    box("network", "create", f"{name}-net")
    assert box("check", check=False).returncode == 0
    box("network", "rm", f"{name}-net")
    assert box("check", check=False).returncode == 0


def test_a_pid_that_became_another_s_is_left_alone(box: Box, name: str) -> None:
    """A row whose container ended unseen, and whose pid was given to a process of the host."""
    import sqlite3
    import subprocess

    box("run", "-d", "--name", name, "busybox", "sleep", "1000")
    with subprocess.Popen(["sleep", "1000"]) as bystander:
        real = int(box.out("inspect", "-f", "{{.State.Pid}}", name))
        with sqlite3.connect(box.root / "state.db") as db:
            db.execute("UPDATE containers SET pid = ? WHERE name = ?", (bystander.pid, name))
        db.close()
        os.kill(real, signal.SIGKILL)
        assert eventually(lambda: box.out("inspect", "-f", "{{.State.Running}}", name) == "false")
        for words in (("stop", "-t", "0", name), ("rm", "-f", name)):
            box(*words)
        box.fails("kill", name)
        assert bystander.poll() is None
        bystander.kill()


def test_a_boot_id_of_before_is_no_running_container(box: Box, name: str) -> None:
    import sqlite3
    import subprocess

    box("create", "--name", name, "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
    with subprocess.Popen(["sleep", "1000"]) as bystander:
        with open(f"/proc/{bystander.pid}/stat", "rb") as file:
            started = int(file.read().rpartition(b")")[2].split()[19])
        with sqlite3.connect(box.root / "state.db") as db:
            db.execute(
                "UPDATE containers SET status = 'running', pid = ?, pid_start = ?, boot_id = 'earlier', "
                "monitor_pid = ? WHERE name = ?",
                (bystander.pid, started, bystander.pid, name),
            )
        db.close()
        assert box.out("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name) == "exited 255"
        assert bystander.poll() is None
        bystander.kill()
    box("start", name)
    assert box.out("inspect", "-f", "{{.State.Running}}", name) == "true"
