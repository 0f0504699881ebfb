"""A full disk, a power cut, missing programs and races: one sentence, nothing lost, nothing left."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import ENTRY, Box


@contextlib.contextmanager
def mounted(source: Path, target: Path) -> Iterator[Path]:
    target.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", source, target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


def disk(path: Path, megabytes: int) -> Path:
    with path.open("wb") as file:
        file.truncate(megabytes << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", path], check=True)
    return path


def test_a_full_disk_is_told_and_everything_goes_on(tmp_path: Path) -> None:
    with mounted(disk(tmp_path / "disk", 64), tmp_path / "mnt") as place:
        box = Box(place / "root")
        box("bootstrap", "busybox")
        box("create", "--name", "old", "busybox", "true")
        (place / "root/tmp/load.0123456789abcdef").mkdir()  # of a dead command: to clean up takes room, too
        full = place / "full"
        for size in (1 << 16, 1 << 12):  # to the last block
            with contextlib.suppress(OSError), full.open("ab", buffering=0) as file:
                while True:
                    file.write(bytes(size))
        os.sync()
        assert os.statvfs(place).f_bavail == 0
        error = box.fails("run", "-d", "--name", "web", "busybox", "sleep", "1000")
        assert "space" in error or "full" in error
        assert "old" in box.out("ps", "-a", "--format", "{{.Names}}").split()
        box("rm", "old")
        box("container", "prune", "-f")
        box("system", "df")
        full.unlink()
        assert box.out("run", "--rm", "busybox", "echo", "again") == "again"
        box.close()


def test_a_full_disk_below_the_output_is_not_the_stores(box: Box, name: str, tmp_path: Path) -> None:
    box("create", "--name", name, "busybox", "true")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=True)
    try:
        for words in (
            ("export", name),
            ("save", "busybox"),
            ("run", "--rm", "busybox", "head", "-c1m", "/dev/zero"),
        ):
            with (tmp_path / "out").open("wb") as out:
                done = subprocess.run(
                    [*ENTRY, *words], env=box.env, stdout=out, stderr=subprocess.PIPE, check=False
                )
            assert (done.returncode, b"cannot write to stdout" in done.stderr) == (125, True), done.stderr
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    deadline = time.monotonic() + 10
    while len(box.out("ps", "-aq").split()) > 1:  # the container goes on, as docker's does
        assert time.monotonic() < deadline


def test_what_was_said_to_be_done_survives_a_power_cut(tmp_path: Path) -> None:
    image = disk(tmp_path / "disk", 128)
    with mounted(image, tmp_path / "mnt") as place:
        box = Box(place / "root")
        box("bootstrap", "busybox")
        box("volume", "create", "data")
        box("run", "--name", "one", "-v", "data:/data", "busybox", "sh", "-c", "echo kept > /file; sync")
        box("commit", "one", "changed")
        box("create", "--name", "two", "changed", "cat", "/file")
        shutil.copyfile(image, tmp_path / "copy")  # what has reached the disk at this moment
        box.close()
    with mounted(tmp_path / "copy", tmp_path / "mnt") as place:
        box = Box(place / "root")
        box("check")
        assert set(box.out("images", "--format", "{{.Repository}}").split()) == {"busybox", "changed"}
        assert box.out("volume", "ls", "-q") == "data"
        assert box.out("start", "-a", "two") == "kept"
        assert box.out("inspect", "-f", "{{.State.ExitCode}}", "one") == "0"
        box.close()


def clients(box: Box, count: int, *args: str) -> list[tuple[int, str]]:
    started = [box.popen(*args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(count)]
    return [(one.returncode, error.decode()) for one in started for _, error in [one.communicate(timeout=120)]]


def test_sixteen_for_one_name(box: Box, name: str) -> None:
    results = clients(box, 16, "run", "-d", "--name", name, "busybox", "sleep", "1000")
    assert [code for code, _ in results].count(0) == 1
    assert all("in use" in error for code, error in results if code)


def test_sixteen_for_one_port(box: Box) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    label = secrets.token_hex(4)
    words = ["run", "-d", "--label", f"race={label}", "-p", f"127.0.0.1:{port}:80", "busybox", "sleep", "1000"]
    results = clients(box, 16, *words)
    assert [code for code, _ in results].count(0) == 1
    assert all(str(port) in error for code, error in results if code)
    box("rm", "-f", *box.out("ps", "-aq", "--filter", f"label=race={label}").split())


@pytest.mark.parametrize(("program", "package"), [("conmon", "conmon"), ("s6-log", "s6"), ("flock", "util-linux")])
def test_a_missing_program_is_named_with_its_package(box: Box, name: str, program: str, package: str) -> None:
    path = shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert path is not None
    words = " ".join([*ENTRY, "run", "-d", "--name", name, "-p", "127.0.0.1::80", "busybox", "true"])
    script = f"mount --make-rprivate / && mount --bind /dev/null {path} && exec {words}"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], env=box.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 125
    assert f"{program} is not installed" in done.stderr
    assert package in done.stderr


def test_without_root_and_without_a_root_of_its_own() -> None:
    env = {key: value for key, value in os.environ.items() if key != "DEVBOX_ROOT"}
    done = subprocess.run(
        # it must be able to read this checkout, wherever it is
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=+dac_read_search",
         "--ambient-caps=+dac_read_search", *ENTRY, "ps"],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 125
    assert "needs root" in done.stderr


@contextlib.contextmanager
def failing_disk(place: Path) -> Iterator[tuple[Path, Path]]:
    """A disk, and the memory that its blocks are kept in: once that is full, a new block fails with EIO."""
    memory, mnt = place / "memory", place / "mnt"
    memory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", memory], check=True)
    try:
        with (memory / "disk").open("wb") as file:
            file.truncate(96 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^has_journal", memory / "disk"], check=True)
        with mounted(memory / "disk", mnt):
            yield memory, mnt
    finally:
        subprocess.run(["umount", "-l", memory], check=True)


def test_a_disk_that_fails_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    with failing_disk(tmp_path) as (memory, place):
        box = Box(place / "root")
        box("bootstrap", "busybox")
        box("create", "--name", "old", "busybox", "echo", "still")
        os.sync()
        with contextlib.suppress(OSError), (memory / "full").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
        error = box.fails("run", "-d", "--name", "web", "busybox", "sleep", "1000")
        assert "dmesg" in error, error
        (memory / "full").unlink()
        # where the disk failed the taking back, too, this command does it
        assert box.out("ps", "-a", "--format", "{{.Names}} {{.State}}") == "old created"
        assert box.out("start", "-a", "old") == "still"
        assert box.out("run", "--rm", "--name", "web", "busybox", "echo", "again") == "again"
        box("check")
        box.close()
