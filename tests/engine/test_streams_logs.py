"""logs: what a container wrote, within its caps, followed across rotations and restarts, on a full disk too."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbox.system.syscalls import MNT_DETACH, mount, umount
from tests.engine.conftest import Box

PIPE = subprocess.PIPE


def directory(box: Box, name: str) -> Path:
    return box.root / "containers" / box.out("inspect", "-f", "{{.Id}}", name) / "log"


def logger_of(box: Box, name: str) -> int:
    """The pid of a container's s6-log."""
    wanted = str(directory(box, name)).encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words[0].endswith(b"s6-log") and wanted in words:
            return int(pid)
    return 0


def test_streams_partial_lines_and_nul_bytes(box: Box, name: str) -> None:
    script = r"""printf 'a\0b\n\n\0\0'; echo err >&2; seq -s, 1 9000; printf 'no newline'"""
    run = box.popen("run", "--name", name, "busybox", "sh", "-c", script, stdout=PIPE, stderr=PIPE)
    shown = run.communicate()
    logs = box.popen("logs", name, stdout=PIPE, stderr=PIPE)
    assert logs.communicate() == shown
    assert logs.returncode == 0
    assert len(shown[0]) > 40_000


def test_a_terminal_s_log_is_what_the_terminal_showed(box: Box, name: str) -> None:
    run = box.popen("run", "-t", "--name", name, "busybox", "sh", "-c", "echo out; echo err >&2", stdout=PIPE)
    shown = run.communicate()[0]
    logs = box.popen("logs", name, stdout=PIPE)
    assert logs.communicate()[0] == shown == b"out\r\nerr\r\n"


def test_tail_time_stamps_and_details(box: Box, name: str) -> None:
    box("run", "--name", name, "busybox", "sh", "-c", "seq 1 20; sleep 0.2; echo late; sleep 0.2; echo last")
    assert box.out("logs", "-n", "2", name) == "late\nlast"
    assert box.out("logs", "--tail", "0", name) == ""
    assert len(box.out("logs", "--tail", "all", name).splitlines()) == 22
    assert len(box.out("logs", "--tail", "100", name).splitlines()) == 22
    lines = box.out("logs", "-t", "--tail", "2", name).splitlines()
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
    assert re.fullmatch(f"{stamp} late", lines[0])
    assert re.fullmatch(f"{stamp} last", lines[1])
    assert box.out("logs", "--details", "-n", "1", name) == " last"
    late, last = (line.split()[0] for line in lines)
    assert box.out("logs", "--since", last, name) == "last"
    assert box.out("logs", "--until", late, name).endswith("20\nlate")
    assert box.out("logs", "--since", "1h", name) == box.out("logs", name)
    assert box.out("logs", "--until", "1h", name) == ""
    assert "--tail wants a number" in box.fails("logs", "--tail", "many", name)
    assert "invalid time" in box.fails("logs", "--since", "yesterday", name)
    assert "no such container" in box.fails("logs", "no-such-container")


def test_the_driver_none_keeps_nothing(box: Box, name: str) -> None:
    assert box.out("run", "--log-driver", "none", "--name", name, "busybox", "echo", "shown") == "shown"
    assert not list(directory(box, name).iterdir())
    assert "log driver none" in box.fails("logs", name)


def test_caps_hold_and_the_newest_lines_are_kept_in_order(box: Box, name: str) -> None:
    box(
        "run", "--name", name, "--log-opt", "max-size=100k", "--log-opt", "max-file=3",
        "busybox", "seq", "1", "50000",
    )  # fmt: skip
    files = [file for file in directory(box, name).iterdir() if file.name not in ("lock", "state")]
    assert len(files) == 3
    assert sum(file.stat().st_size for file in files) <= 3 * 102_400 + 8192
    numbers = [int(line) for line in box.out("logs", name).splitlines()]
    assert numbers == list(range(numbers[0], 50001))
    assert 1000 < len(numbers) < 10_000
    assert box.out("logs", "-n", "3000", name).splitlines() == [str(number) for number in numbers[-3000:]]


def test_a_log_is_capped_though_nobody_asked(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sh", "-c", "yes 'a line that is repeated' | head -c 40000000")
    box("wait", name)
    sizes = [file.stat().st_size for file in directory(box, name).iterdir() if file.name not in ("lock", "state")]
    assert len(sizes) == 3
    assert 20_000_000 < sum(sizes) <= 30_100_000


def test_follow_sees_every_line_across_rotations_and_ends_with_the_container(box: Box, name: str) -> None:
    script = "for n in $(seq 1 40); do seq -s ' ' 1 200; sleep 0.01; echo end $n; done"
    box(
        "run",
        "-d",
        "--name",
        name,
        "--log-opt",
        "max-size=8k",
        "--log-opt",
        "max-file=4",
        "busybox",
        "sh",
        "-c",
        script,
    )
    lines = box.out("logs", "-f", name, timeout=30).splitlines()
    assert [line for line in lines if line.startswith("end")] == [f"end {n}" for n in range(1, 41)]
    assert len(lines) == 80


def test_follow_goes_on_across_restarts(box: Box, name: str) -> None:
    script = "echo begin; sleep 0.2; echo end; exit 1"
    box("run", "-d", "--restart", "on-failure:2", "--name", name, "busybox", "sh", "-c", script)
    assert box.out("logs", "-f", name, timeout=30).split() == ["begin", "end"] * 3


def test_following_an_idle_container_costs_nothing(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sh", "-c", "echo one; sleep 2; echo two")
    client = box.popen("logs", "-f", name, stdout=PIPE)
    assert client.stdout
    assert client.stdout.readline() == b"one\n"
    time.sleep(0.2)
    before = ticks(client.pid)
    time.sleep(1)
    assert ticks(client.pid) - before <= 2
    assert client.stdout.read() == b"two\n"
    assert client.wait(timeout=10) == 0
    client.stdout.close()


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_follower_sees_a_line_at_once(box: Box, name: str) -> None:
    box("run", "-d", "-i", "--name", name, "busybox", "cat")
    client = box.popen("logs", "-f", name, stdout=PIPE)
    writer = box.popen("attach", name, stdin=PIPE, stdout=subprocess.DEVNULL)
    assert client.stdout
    assert writer.stdin
    time.sleep(0.5)
    delays = []
    for number in range(5):
        began = time.monotonic()
        writer.stdin.write(b"%d\n" % number)
        writer.stdin.flush()
        assert client.stdout.readline() == b"%d\n" % number
        delays.append(time.monotonic() - began)
    assert sorted(delays)[2] < 0.2
    box("kill", name)
    assert client.wait(timeout=10) == 0
    writer.stdin.close()
    writer.wait(timeout=10)
    client.stdout.close()


def test_a_logger_that_was_killed_comes_back(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sh", "-c", "while true; do date +%s%N; sleep 0.05; done")
    first = logger_of(box, name)
    os.kill(first, 9)
    time.sleep(0.3)
    assert box.out("inspect", "-f", "{{.State.Status}}", name) == "running"
    box("ps")
    before = len(box.out("logs", name).splitlines())
    assert logger_of(box, name) not in (0, first)
    time.sleep(0.4)
    assert len(box.out("logs", name).splitlines()) > before


def test_no_logger_is_left(box: Box, name: str) -> None:
    box("run", "--name", name, "busybox", "true")
    time.sleep(0.2)
    assert logger_of(box, name) == 0
    box("rm", name)
    box("create", "--name", name, "busybox", "nosuch")
    box.fails("start", "-a", name, code=127)
    time.sleep(0.2)
    assert logger_of(box, name) == 0


@pytest.fixture
def full_disk(box: Box, name: str, tmp_path: Path) -> Iterator[Path]:
    """A container, not started, whose log is on a disk of a megabyte."""
    script = "while true; do seq 1 20000; echo tick >>/tmp/ticks; done"
    box("create", "--name", name, "--log-opt", "max-size=50m", "busybox", "sh", "-c", script)
    log = directory(box, name)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("tmpfs", str(disk), "tmpfs", 0, "size=1m")
    log.rmdir()
    log.symlink_to(disk)
    yield disk
    umount(str(disk), MNT_DETACH)


def test_a_full_disk_stops_neither_the_container_nor_its_end(box: Box, name: str, full_disk: Path) -> None:
    def progress() -> int:
        return len(box.out("exec", name, "cat", "/tmp/ticks").splitlines())

    box("start", name)
    deadline = time.monotonic() + 30
    while sum(file.stat().st_blocks * 512 for file in full_disk.iterdir()) < (1 << 20) - 8192:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    most = 0
    seen = progress()
    for _ in range(10):
        time.sleep(0.2)
        if pid := logger_of(box, name):
            status = Path(f"/proc/{pid}/status")
            if status.exists() and (match := re.search(r"VmHWM:\s+(\d+)", status.read_text())):
                most = max(most, int(match[1]))
    assert progress() > seen
    assert most < 80_000
    began = time.monotonic()
    box("stop", "-t", "0", name)
    assert time.monotonic() - began < 10
    assert box.out("inspect", "-f", "{{.State.ExitCode}}", name) == "137"
    box("logs", "-n", "5", name)
    log = str(directory(box, name))
    box("rm", name)
    assert logger_of_nobody(log)


def logger_of_nobody(log: str) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        found = subprocess.run(["pgrep", "-f", f"s6-log.*{log}"], check=False, stdout=subprocess.DEVNULL)
        if found.returncode:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("caps", [("max-size=5k", "max-file=1"), ("max-size=1k", "max-file=2")])
def test_the_last_lines_are_kept_however_small_the_caps(box: Box, name: str, caps: tuple[str, str]) -> None:
    script = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done"
    options = [word for cap in caps for word in ("--log-opt", cap)]
    box("run", "--name", name, *options, "busybox", "sh", "-c", script)
    assert box.out("logs", "--tail", "1", name) == "line 299"
