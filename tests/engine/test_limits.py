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


def test_a_quota_bites_and_is_lifted(box: Box, name: str) -> None:
    def throttled() -> int:
        stat = box.out(
            "exec", name, "sh", "-c", "cat /sys/fs/cgroup/cpu.stat /sys/fs/cgroup/cpu/cpu.stat", check=False
        )
        return int(next(line.split()[1] for line in stat.splitlines() if line.startswith("nr_throttled ")))

    box("run", "-d", "--name", name, "--cpu-quota", "2000", "--cpu-period", "50000", "--cpuset-mems", "0", *BUSY)
    time.sleep(0.5)
    assert throttled() > 0
    assert "conflicting options" in box.fails("update", "--cpus", "1", name)
    box("update", "--cpu-quota", "-1", "--cpu-period", "0", name)
    before = throttled()
    time.sleep(0.5)
    assert throttled() == before
    assert "no memory node 99" in box.fails("update", "--cpuset-mems", "99", name)


def test_what_is_read_from_a_disk_is_limited(box: Box, name: str) -> None:
    number = os.stat(box.root).st_dev
    disk = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}/uevent")
    if not disk.exists() or "DEVTYPE=disk" not in disk.read_text():
        pytest.skip("the store is on no whole disk")
    device = "/dev/" + next(line[8:] for line in disk.read_text().splitlines() if line.startswith("DEVNAME="))
    box("run", "-d", "--name", name, "--device-read-bps", f"{device}:1mb", "busybox", "sleep", "100")
    box("exec", name, "sh", "-c", "dd if=/dev/zero of=/file bs=1M count=3; sync")
    began = time.monotonic()
    box("exec", name, "dd", "if=/file", "of=/dev/null", "bs=512k", "iflag=direct")
    assert time.monotonic() - began > 1.5
    assert box.json("inspect", "-f", "{{json .HostConfig.BlkioDeviceReadBps}}", name) == [
        {"Path": device, "Rate": 1 << 20}
    ]
    assert "not a block device" in box.fails("run", "--device-write-bps", "/dev/null:1mb", "busybox", "true")


def test_who_is_killed_first_when_memory_is_short(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "--oom-score-adj", "345", "busybox", "sleep", "100")
    assert box.out("exec", name, "sh", "-c", "cat /proc/1/oom_score_adj /proc/self/oom_score_adj") == "345\n345"


def test_a_device_rule_opens_what_the_container_makes(box: Box) -> None:
    script = ("busybox", "sh", "-c", "mknod /node c 10 237 && exec 3</node && echo open")
    assert box.out("run", "--rm", "--device-cgroup-rule", "c 10:* rwm", *script) == "open"
    assert (
        "not permitted" in box("run", "--rm", "--device-cgroup-rule", "c 10:236 rwm", *script, check=False).stderr
    )
    assert "invalid --device-cgroup-rule" in box.fails("run", "--device-cgroup-rule", "c 10 rw", "busybox", "true")


def test_a_cgroup_namespace_of_its_own(box: Box, name: str) -> None:
    show = ("busybox", "sh", "-c", "readlink /proc/self/ns/cgroup; cat /proc/self/cgroup")
    box("run", "--name", name, "--cgroupns", "private", *show)
    own, *places = box.out("logs", name).splitlines()
    assert own != os.readlink("/proc/self/ns/cgroup")
    assert all(place.endswith(":/") for place in places)
    assert box.out("inspect", "-f", "{{.HostConfig.CgroupnsMode}}", name) == "private"
    host = box.out("run", "--rm", "--cgroupns", "host", *show).splitlines()[0]
    assert host == os.readlink("/proc/self/ns/cgroup")
