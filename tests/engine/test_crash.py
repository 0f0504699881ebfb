"""SIGKILL at system calls of run and rm: what was there stays, the next command cleans up, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import ENTRY, Box

# (system call, how many of them are let through): places all along the way of a run
RUN_KILLS = [
    ("flock", 0), ("flock", 3), ("mkdir", 2), ("rename", 0), ("fdatasync", 0), ("fdatasync", 1), ("fdatasync", 2),
    ("unshare", 0), ("unshare", 1), ("mount", 0), ("mount", 2), ("mknod", 0), ("openat2", 1), ("vfork,clone3", 0),
    ("vfork,clone3", 1), ("vfork,clone3", 2), ("vfork,clone3", 3), ("sendto", 4),
    ("wait4", 0), ("wait4", 1), ("connect", 0),
]  # fmt: skip
RM_KILLS = [
    ("flock", 1), ("pidfd_send_signal", 0), ("fdatasync", 0), ("fdatasync", 1), ("vfork,clone3", 0),
    ("vfork,clone3", 1), ("rename", 0),
    ("unlinkat", 0), ("unlinkat", 5), ("rmdir", 0), ("unlink", 1),
]  # fmt: skip


def killed_at(box: Box, call: str, after: int, *args: str, number: str = "KILL") -> int:
    """Run devbox and kill it at a system call; what it started lives on."""
    inject = f"inject={call}:signal={number}:when={after + 1}"
    argv = ["strace", "-qq", "-e", f"trace={call}", "-e", inject, "-o", "/dev/null", *ENTRY, *args]
    done = subprocess.run(argv, env=box.env, capture_output=True, timeout=60, check=False)
    return done.returncode


def settled(box: Box) -> None:
    """After any next command nothing of the dead one is left."""
    box("ps")
    live = set(box.out("ps", "-q", "--no-trunc").split())
    deadline = time.monotonic() + 10
    while (wrong := remains(box, live)) and time.monotonic() < deadline:
        time.sleep(0.1)
        box("ps")
    assert not wrong


def remains(box: Box, live: set[str]) -> list[str]:
    found = [f"bundle {name}" for name in os.listdir(box.root / "run/containers") if name not in live]
    rows = set(box.out("ps", "-a", "-q", "--no-trunc").split())
    found += [f"directory {name}" for name in os.listdir(box.root / "containers") if name not in rows]
    found += [f"scratch {path}" for path in (box.root / "tmp").iterdir() if any(path.iterdir())]
    found += [f"runtime {name}" for name in _listed(box.root / "run/runtime") if name not in live]
    found += [f"cgroup {path}" for path in _cgroups(rows - live)]
    found += [f"process {line}" for line in _monitors(box.root) if not any(one in line for one in live)]
    return found


def _listed(path: Path) -> list[str]:
    return os.listdir(path) if path.exists() else []


def _cgroups(dead: set[str]) -> list[str]:
    base = Path("/sys/fs/cgroup")
    places = [*base.glob("*/devbox"), base / "devbox"]
    return [str(place / one) for place in places for one in dead if (place / one).exists()]


def _monitors(root: Path) -> Iterator[str]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"{root}/run" in line and line.startswith(("conmon", "/usr/bin/conmon", "s6-log")):
            yield f"{pid} {line}"


@pytest.fixture(scope="module")
def bystander(box: Box) -> Iterator[str]:
    name = "bystander"
    box("run", "-d", "--name", name, "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
    yield name
    box("rm", "-f", name)


@pytest.mark.parametrize(("call", "after"), RUN_KILLS)
def test_run_killed(box: Box, name: str, bystander: str, call: str, after: int) -> None:
    killed_at(box, call, after, "run", "-d", "--name", name, "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
    settled(box)
    assert box.out("inspect", "-f", "{{.State.Running}}", bystander) == "true"
    there = box("inspect", "-f", "{{.State.Running}}", name, check=False)
    assert there.returncode == 125 or there.stdout == "true\n"
    box("rm", "-f", name, check=False)
    box("run", "-d", "--name", name, "-p", "127.0.0.1::80", "busybox", "sleep", "1000")


@pytest.mark.parametrize(("call", "after"), [("mount", 1), ("vfork,clone3", 0), ("wait4", 0)])
def test_start_killed(box: Box, name: str, bystander: str, call: str, after: int) -> None:
    box("create", "--name", name, "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
    assert killed_at(box, call, after, "start", name) in (-9, 137)
    settled(box)
    assert box.out("inspect", "-f", "{{.State.Running}}", bystander) == "true"
    box("start", name)
    assert box.out("inspect", "-f", "{{.State.Running}}", name) == "true"


def test_a_run_with_rm_that_is_killed_at_its_end_leaves_no_container(box: Box, name: str) -> None:
    for after in range(3, 7):
        killed_at(box, "rename", after, "run", "--rm", "--network", "none", "--name", name, "busybox", "true")
        settled(box)
        assert box("inspect", name, check=False).returncode == 125


ENDED = {
    "TERM": {"rename": (), "unshare": ("-d",), "mount": (), "vfork,clone3": ("-d",), "connect": ()},
    "HUP": {"rename": ("-d",), "connect": ()},
    "INT": {"rename": (), "mount": ("-d",)},
}
"""by signal: places between the row of a container and the start of its process"""


@pytest.mark.parametrize("number", ENDED)
def test_a_run_that_is_asked_to_end_before_its_start_leaves_nothing(
    box: Box, bystander: str, number: str, tmp_path: Path
) -> None:
    volumes = os.listdir(box.root / "volumes")
    for call, detached in ENDED[number].items():
        words = (*detached, "--cidfile", str(tmp_path / "id"), "-v", "/x", "busybox", "sleep", "1000")
        code = killed_at(box, call, 0, "run", *words, number=number)
        wanted = {"TERM": (-signal.SIGTERM, 143), "HUP": (-signal.SIGHUP, 129), "INT": (130,)}
        assert code in wanted[number], call
        live = box.out("ps", "-a", "-q", "--no-trunc")
        assert live == box.out("inspect", "-f", "{{.Id}}", bystander), call
        assert not remains(box, {live}), call
    assert os.listdir(box.root / "volumes") == volumes
    assert not (tmp_path / "id").exists()


_CREATING = (
    ("rename", 0), ("rename", 1), ("rename", 2), ("fdatasync", 0), ("fsync", 2), ("mkdir", 3), ("unlinkat", 1),
)  # fmt: skip


@pytest.mark.parametrize(
    ("number", "places"),
    [("TERM", _CREATING), ("KILL", _CREATING), ("HUP", _CREATING[2:3]), ("INT", _CREATING[2:4])],
)
def test_a_create_that_is_asked_to_end_leaves_nothing(
    box: Box, bystander: str, number: str, places: tuple[tuple[str, int], ...], name: str, tmp_path: Path
) -> None:
    volumes = os.listdir(box.root / "volumes")
    for call, after in places:
        code = killed_at(
            box, call, after, "create", "--name", name, "--cidfile", str(tmp_path / "id"), "-v", "/x", "busybox",
            number=number,
        )  # fmt: skip
        assert code in {"TERM": (-15, 143), "HUP": (-1, 129), "INT": (130,), "KILL": (-9, 137)}[number], call
        assert box.out("ps", "-a", "--format", "{{.Names}}") == bystander, call
        assert not remains(box, {box.out("inspect", "-f", "{{.Id}}", bystander)}), call
        assert os.listdir(box.root / "volumes") == volumes, call
        if number == "KILL":
            (tmp_path / "id").unlink(missing_ok=True)
        assert not (tmp_path / "id").exists(), call
    box("create", "--name", name, "busybox")


@pytest.mark.parametrize(("call", "after"), RM_KILLS)
def test_rm_killed(box: Box, name: str, bystander: str, call: str, after: int) -> None:
    box("run", "-d", "--name", name, "-p", "127.0.0.1::80", "busybox", "sleep", "1000")
    killed_at(box, call, after, "rm", "-f", name)
    settled(box)
    assert box.out("inspect", "-f", "{{.State.Running}}", bystander) == "true"
    if box("inspect", name, check=False).returncode == 0:
        box("start", name)
        box("rm", "-f", name)
    settled(box)


@pytest.mark.parametrize(("call", "after"), [("sendto", 6), ("sendto", 9), ("fdatasync", 0), ("unlinkat", 1)])
def test_a_network_create_that_is_killed_leaves_no_bridge(box: Box, name: str, call: str, after: int) -> None:
    assert killed_at(box, call, after, "network", "create", name) in (-9, 137)
    box("ps")
    assert box("check", check=False).returncode == 0
    box("network", "rm", name, check=False)
    box("network", "create", name)
    box("network", "rm", name)


def test_the_kills_hit(box: Box, name: str) -> None:
    assert killed_at(box, "mount", 0, "run", "--rm", "--name", name, "busybox", "true") in (-9, 137)
