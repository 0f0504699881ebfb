"""Limits bite: each is seen from what happens to processes, not from what was written down."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.engine.conftest import Box

BUSY = ("busybox", "sh", "-c", "while :; do :; done")


def processor_seconds(box: Box, name: str) -> float:
    """What a container's first process has used so far."""
    pid = box.out("inspect", "-f", "{{.State.Pid}}", name)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share(box: Box, name: str, seconds: float = 1.0) -> float:
    """The share of one processor that a container uses."""
    before, began = processor_seconds(box, name), time.monotonic()
    time.sleep(seconds)
    return (processor_seconds(box, name) - before) / (time.monotonic() - began)


def test_too_much_memory_is_the_end_and_is_said_so(box: Box, name: str) -> None:
    box("run", "--name", name, "-m", "16m", "busybox", "tail", "/dev/zero", check=False)
    state = box.json("inspect", "-f", "{{json .State}}", name)
    assert (state["ExitCode"], state["OOMKilled"]) == (137, True)
    box("check")  # conmon notes it in more than one place
    box("start", name)
    box("rm", "-f", name)


def test_no_more_processes_than_allowed(box: Box, name: str) -> None:
    script = "i=0; while [ $i -lt 12 ]; do sleep 9 & i=$((i+1)); done; echo all"
    done = box("run", "--name", name, "--pids-limit", "8", "busybox", "sh", "-c", script, check=False)
    assert "all" not in done.stdout
    assert "can't fork" in done.stderr


def test_no_more_processor_time_than_allowed_and_none_while_paused(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "--cpus", "0.4", "--cpuset-cpus", "0", *BUSY)
    assert 0 < share(box, name) < 0.5
    assert box.out("exec", name, "grep", "Cpus_allowed_list", "/proc/1/status").split()[-1] == "0"
    box("pause", name)
    assert share(box, name, 0.5) == 0
    box("unpause", name)
    box("update", "--cpus", "0.1", name)
    assert 0 < share(box, name) < 0.2
    assert box.out("stats", "--no-stream", "--format", "{{.CPUPerc}}", name).endswith("%")


def test_an_update_bites_at_once(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sleep", "1000")
    box("update", "--memory", "16m", "--pids-limit", "4", name)
    assert box("exec", name, "sh", "-c", "sleep 1 & sleep 1 & sleep 1 & sleep 1 &", check=False).returncode != 0
    time.sleep(1)
    assert box("exec", name, "tail", "/dev/zero", check=False).returncode == 137
    assert box.out("inspect", "-f", "{{.State.Running}}", name) == "true"


@pytest.mark.parametrize(("words", "there"), [((), False), (("--device", "/dev/loop-control:/dev/x"), True)])
def test_a_device_that_was_not_given_cannot_be_opened(box: Box, words: tuple[str, ...], there: bool) -> None:
    script = "mknod /node c 10 237 && exec 3</node"
    done = box("run", "--rm", *words, "busybox", "sh", "-c", script, check=False)
    assert (done.returncode == 0) == there
    assert there or "not permitted" in done.stderr
