"""A container's life through the command line: exit codes, stop, kill, restart policies, health, removal."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.conftest import Box, leftovers


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def state(box: Box, name: str) -> str:
    return box.out("inspect", "-f", "{{.State.Status}}", name)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137),
        (["nosuch"], 127),
        (["/etc/passwd"], 126),
        (["/etc"], 126),
    ],
)
def test_the_exit_code_is_the_commands_own(box: Box, words: list[str], code: int) -> None:
    done = box("run", "--rm", "busybox", *words, check=False)
    assert done.returncode == code, done.stderr


def test_the_runtime_knows_a_container_by_an_id_of_ours(box: Box, name: str) -> None:
    """Debian's crun deletes the directory above its own when it is told to delete ".."."""
    container = box.out("run", "-d", "--name", name, "busybox", "sleep", "1000")
    assert re.fullmatch("[0-9a-f]{64}", container)
    assert container in os.listdir(box.root / "run" / "runtime")
    for odd in ("..", ".", "a/b", "-x", "a" * 129):
        box.fails("rename", name, odd)
        box.fails("create", f"--name={odd}", "busybox")


def test_run_without_rm_keeps_the_container(box: Box, name: str) -> None:
    assert box("run", "--name", name, "busybox", "sh", "-c", "exit 3", check=False).returncode == 3
    assert box.out("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name) == "exited 3"
    box("start", name)
    assert box.out("wait", name) == "3"


def test_rm_takes_the_container_and_its_anonymous_volumes(box: Box) -> None:
    before = box.out("volume", "ls", "-q")
    box("run", "--rm", "-v", "/data", "busybox", "touch", "/data/x")
    assert box.out("volume", "ls", "-q") == before
    assert not os.listdir(box.root / "run" / "containers")


def test_stop_asks_first_and_kills_then(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done")
    until(lambda: state(box, name) == "running")
    box("stop", name)
    assert box.out("inspect", "-f", "{{.State.ExitCode}}", name) == "5"
    box("rm", name)
    box("run", "-d", "--name", name, "busybox", "sleep", "1000")
    began = time.monotonic()
    box("stop", "-t", "1", name)
    assert 0.9 < time.monotonic() - began < 5
    assert box.out("inspect", "-f", "{{.State.ExitCode}}", name) == "137"


def test_kill_sends_the_signal(box: Box, name: str) -> None:
    script = "trap 'echo got it' USR1; while :; do sleep 0.05; done"
    box("run", "-d", "--name", name, "busybox", "sh", "-c", script)
    box("kill", "-s", "USR1", name)
    until(lambda: "got it" in box.out("logs", name))
    assert state(box, name) == "running"
    box("kill", name)
    assert state(box, name) == "exited"
    assert "is not running" in box.fails("kill", name)


def test_a_running_container_is_removed_by_force_only(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sleep", "1000")
    assert "rm -f" in box.fails("rm", name)
    box("rm", "-f", name)
    assert "no such container" in box.fails("inspect", "--type", "container", name)


def test_pause_freezes_and_unpause_goes_on(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sh", "-c", "while :; do date +%s%N; sleep 0.02; done")
    box("pause", name)
    assert state(box, name) == "paused"
    assert "paused" in box.fails("exec", name, "true")
    box("unpause", name)
    assert state(box, name) == "running"
    box("pause", name)
    box("rm", "-f", name)


def test_rename_and_restart(box: Box, name: str) -> None:
    box("run", "-d", "--name", name + "x", "busybox", "sleep", "1000")
    box("rename", name + "x", name)
    pid = box.out("inspect", "-f", "{{.State.Pid}}", name)
    box("restart", "-t", "0", name)
    assert box.out("inspect", "-f", "{{.State.Pid}}", name) not in (pid, "0")


def test_on_failure_restarts_as_often_as_it_says(box: Box, name: str) -> None:
    box("run", "-d", "--restart", "on-failure:2", "--name", name, "busybox", "sh", "-c", "echo again; exit 1")
    until(lambda: state(box, name) == "exited")
    assert box.out("logs", name).count("again") == 3
    assert box.out("inspect", "-f", "{{.RestartCount}}", name) == "2"


def test_always_comes_back_until_it_is_stopped(box: Box, name: str) -> None:
    box("run", "-d", "--restart", "always", "--name", name, "busybox", "sleep", "1000")
    pid = int(box.out("inspect", "-f", "{{.State.Pid}}", name))
    os.kill(pid, signal.SIGKILL)
    until(lambda: box.out("inspect", "-f", "{{.State.Pid}}", name) not in (str(pid), "0"))
    box("stop", "-t", "0", name)
    time.sleep(0.5)
    assert state(box, name) == "exited"


def test_a_killed_monitor_is_booked_by_the_next_command(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sleep", "1000")
    bundle = box.root / "run" / "containers" / box.out("inspect", "-f", "{{.Id}}", name)
    pid = int(box.out("inspect", "-f", "{{.State.Pid}}", name))
    os.kill(int((bundle / "conmon.pid").read_text()), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    until(lambda: state(box, name) == "exited")
    assert box.out("inspect", "-f", "{{.State.ExitCode}}", name) == "255"
    box("start", name)
    assert state(box, name) == "running"


def test_a_killed_client_leaves_its_container_running(box: Box, name: str) -> None:
    client = box.popen("run", "--name", name, "busybox", "sleep", "1000", stdout=subprocess.DEVNULL)
    until(lambda: box("inspect", name, check=False).returncode == 0 and state(box, name) == "running")
    client.kill()
    client.wait()
    assert state(box, name) == "running"
    box("kill", name)
    until(lambda: state(box, name) == "exited")


def test_ctrl_c_reaches_the_container(box: Box, name: str) -> None:
    script = "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done"
    with box.popen("run", "--rm", "--name", name, "busybox", "sh", "-c", script, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        client.send_signal(signal.SIGINT)
        assert client.wait(20) == 9
    assert box("inspect", name, check=False).returncode == 125


def test_health_is_checked_on_its_interval(box: Box, name: str) -> None:
    box(
        "run", "-d", "--name", name, "--health-cmd", "test -e /ok", "--health-interval", "100ms",
        "--health-retries", "2", "busybox", "sleep", "1000",
    )  # fmt: skip
    health = "{{.State.Health.Status}}"
    until(lambda: box.out("inspect", "-f", health, name) == "unhealthy")
    box("exec", name, "touch", "/ok")
    until(lambda: box.out("inspect", "-f", health, name) == "healthy")
    assert "(healthy)" in box.out("ps", "--filter", f"name={name}")


def test_a_start_is_checked_on_an_interval_of_its_own(box: Box, name: str) -> None:
    box(
        "run", "-d", "--name", name, "--health-cmd", "true", "--health-interval", "1h",
        "--health-start-period", "1h", "--health-start-interval", "100ms", "busybox", "sleep", "1000",
    )  # fmt: skip
    until(lambda: box.out("inspect", "-f", "{{.State.Health.Status}}", name) == "healthy")


def test_wait_prints_the_code_even_of_what_is_gone(box: Box, name: str) -> None:
    box("run", "-d", "--rm", "--name", name, "busybox", "sh", "-c", "sleep 0.3; exit 4")
    assert box.out("wait", name) == "4"
    until(lambda: box("inspect", name, check=False).returncode == 125)


def test_a_name_in_use_is_refused_and_names_the_holder(box: Box, name: str) -> None:
    holder = box.out("create", "--name", name, "busybox")
    assert holder[:12] in box.fails("run", "--name", name, "busybox", "true")


@pytest.mark.parametrize("detach", [["-d"], []])
def test_a_run_that_cannot_start_leaves_no_container(box: Box, name: str, detach: list[str]) -> None:
    box.fails("run", *detach, "--name", name, "-v", "/data", "busybox", "nosuch", code=127)
    assert "no such" in box.fails("inspect", name)
    box("create", "--name", name, "busybox", "nosuch")
    box.fails("start", "-a", name, code=127)
    assert state(box, name) == "created"


def test_cidfile(box: Box, name: str, tmp_path: Path) -> None:
    box("create", "--name", name, "--cidfile", "cid", "busybox", cwd=tmp_path)
    text = (tmp_path / "cid").read_text()
    assert text == box.out("inspect", "-f", "{{.Id}}", name)
    assert "exists" in box.fails("create", "--cidfile", "cid", "busybox", cwd=tmp_path)


def test_twenty_at_once(box: Box) -> None:
    clients = [box.popen("run", "--rm", "busybox", "true") for _ in range(20)]
    assert [client.wait(60) for client in clients] == [0] * 20


def test_after_a_reboot_those_whose_policy_wants_it_run_again(fresh_box: Box) -> None:
    fresh_box("bootstrap", "busybox")
    for name, policy in (("a", "always"), ("u", "unless-stopped"), ("s", "unless-stopped"), ("n", "no")):
        fresh_box("run", "-d", "--restart", policy, "--name", name, "busybox", "sleep", "1000")
    fresh_box("stop", "-t", "0", "s")
    # as after a reboot: another boot, none of the processes, an empty run directory
    ids = {name: fresh_box.out("inspect", "-f", "{{.Id}} {{.State.Pid}}", name).split() for name in "aun"}
    for container_id, pid in ids.values():
        bundle = fresh_box.root / "run" / "containers" / container_id
        os.kill(int((bundle / "conmon.pid").read_text()), signal.SIGKILL)
        os.kill(int(pid), signal.SIGKILL)
    with contextlib.closing(sqlite3.connect(fresh_box.root / "state.db")) as state_file, state_file:
        state_file.execute("UPDATE containers SET boot_id = 'another' WHERE status = 'running'")
    root = str(fresh_box.root)
    fresh_box("internal", "boot", "--root", root, "--run", root + "/run")
    assert set(fresh_box.out("ps", "--format", "{{.Names}}").split()) == {"a", "u"}
    assert fresh_box.out("inspect", "-f", "{{.State.Status}}", "n") == "exited"


@pytest.mark.parametrize("words", [("stop", "-t", "0"), ("rm", "-f")])
def test_a_restart_that_is_under_way_does_not_outlive_a_stop(box: Box, name: str, words: tuple[str, ...]) -> None:
    for delay in (0.1, 0.15, 0.2, 0.3):
        box("run", "-d", "--restart", "always", "--name", name, "busybox", "true")
        time.sleep(delay)
        box(*words, name)
        if words[0] != "rm":
            time.sleep(0.4)
            assert state(box, name) == "exited"
            box("rm", name)


def test_nobody_waits_for_a_container_that_is_gone(box: Box, name: str) -> None:
    container = box.out("run", "-d", "--restart", "always", "--name", name, "busybox", "false")
    last = box.root / "run" / "locks" / f"{container}.restart"
    until(lambda: last.exists() and last.read_text())
    last.write_text(f"{40.0:<20}")
    until(lambda: last.read_text().strip() == "60.0")
    box("rm", "-f", name)
    until(lambda: not [line for line in leftovers(box.root) if container in line])
