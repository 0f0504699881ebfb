"""Builds that are killed, run out of room, or meet pruning: nothing that was there is lost, nothing is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.builds import Builder, leftovers
from tests.engine.conftest import ENTRY, Box
from tests.engine.test_crash import killed_at
from tests.engine.test_faults import disk, mounted

DOCKERFILE = """\
FROM busybox AS one
WORKDIR /w
RUN --mount=type=cache,target=/c echo 1 > one; touch /c/x
FROM busybox
COPY --from=one /w/one /one
COPY file /file
RUN cat /one /file > /both
"""
# (system call, how many of them are let through): places all along the way, in whichever thread
BUILD_KILLS = [
    ("mkdir", 4), ("flock", 2), ("unshare", 0), ("mount", 1), ("mount", 4), ("setns", 0), ("vfork,clone3", 1),
    ("wait4", 0), ("rename", 1), ("rename", 2), ("syncfs", 0), ("fdatasync", 0), ("sendto", 4), ("rmdir", 5),
    ("unlink", 2), ("linkat,openat2", 9),
]  # fmt: skip


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    box = Box(tmp_path_factory.mktemp("killed"))
    box("bootstrap", "busybox")
    build = Builder(box, tmp_path_factory.mktemp("context"), "killed")
    build.write({"Dockerfile": DOCKERFILE, "file": "2"})
    build("FROM busybox\nRUN echo kept > /kept\n", "-t", "kept")
    yield build
    box.close()


@pytest.mark.parametrize(("call", "after"), BUILD_KILLS)
def test_a_killed_build_loses_nothing_and_leaves_nothing(build: Builder, call: str, after: int) -> None:
    box = build.box
    box("builder", "prune", "-af")
    killed_at(box, call, after, "build", "-q", "-t", "killed", str(build.place))
    assert not leftovers(box)
    assert box.out("run", "--rm", "--network", "none", "kept", "cat", "/kept") == "kept"
    box("build", "-q", "-t", "killed", str(build.place))
    assert build.run("cat", "/both").split() == ["1", "2"]
    assert not leftovers(box)


def test_the_store_is_in_order_after_all_that(build: Builder) -> None:
    build("FROM busybox\nRUN echo last > /last\n")
    assert "in order" in build.box.out("check")


def test_a_full_disk_ends_a_build_with_a_sentence(tmp_path: Path) -> None:
    with mounted(disk(tmp_path / "image", 64), tmp_path / "place") as place:
        box = Box(place / "root")
        box("bootstrap", "busybox")
        build = Builder(box, tmp_path / "context", "full")
        build("FROM busybox\nRUN echo small > /small\n")
        said = build.fails("FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=80\n")
        assert "No space left on device" in said
        (tmp_path / "context/big").write_bytes(bytes(80_000_000))
        assert "no space left on device" in build.fails("FROM busybox\nCOPY big /big\n", code=125)
        assert not leftovers(box)
        assert build.run("cat", "/small") == "small"
        box("builder", "prune", "-af")
        box.close()


def test_pruning_takes_nothing_that_a_build_uses(build: Builder) -> None:
    dockerfile = "FROM busybox AS a\nRUN echo 1 > /1\nRUN sleep 2\nFROM busybox\nCOPY --from=a /1 /1\n"
    running = subprocess.Popen(
        [*ENTRY, "build", "-q", "--no-cache", "-t", "killed", "-f", "-", str(build.place)],
        env=build.box.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert running.stdin is not None
    running.stdin.write(dockerfile.encode())
    running.stdin.close()
    while running.poll() is None:
        build.box("builder", "prune", "-af")
    assert running.returncode == 0
    assert build.run("cat", "/1") == "1"


def test_a_long_step_is_not_taken_for_a_dead_one(build: Builder) -> None:
    running = subprocess.Popen(
        [*ENTRY, "build", "-q", "-t", "killed", "-f", "-", str(build.place)],
        env=build.box.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert running.stdin is not None
    running.stdin.write(b"FROM busybox\nRUN sleep 3; echo done > /done\n")
    running.stdin.close()
    locks = build.box.root / "run/locks"
    while not (held := list(locks.glob("*.operation"))):
        time.sleep(0.02)
    for path in held:
        os.utime(path, (1, 1))
    (build.box.root / "tmp/abandoned").mkdir()  # so that the next command looks for what dead ones left
    for _ in range(3):
        build.box("ps")
    assert running.wait(30) == 0
    assert build.run("cat", "/done") == "done"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabc"])
def test_a_server_that_stalls_does_not_delay_the_end(box: Box, tmp_path: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (tmp_path / "Dockerfile").write_text(f"FROM busybox\nADD http://127.0.0.1:{port}/file /file\n")
        with box.popen("build", str(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as build:
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)
                time.sleep(0.5)
                build.send_signal(signal.SIGINT)
                assert build.wait(10) == 130
    assert not os.listdir(box.root / "tmp")
