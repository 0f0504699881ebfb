"""The main job: `devbox demo` holds what it promises and leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import Box


@pytest.fixture(scope="module")
def based(box: Box) -> Iterator[Box]:
    """A store that has what goes into the demo's base image, which takes the longest to make."""
    box("bootstrap", "debian:bookworm", "--include", "redis-server,python3", "-t", "kept/base", timeout=300)
    yield box
    box("rmi", "kept/base")


def test_an_interrupted_demo_leaves_nothing(box: Box, tmp_path: Path) -> None:
    box.env["TMPDIR"] = str(tmp_path)
    try:
        with box.popen("demo", stdout=subprocess.PIPE) as demo:
            assert demo.stdout is not None
            while b"mmdebstrap" not in demo.stdout.readline():
                assert demo.poll() is None
            demo.send_signal(signal.SIGINT)
            demo.stdout.read()
            assert demo.wait(30) == 130
    finally:
        del box.env["TMPDIR"]
    assert "devbox-demo" not in box.out("images") + box.out("ps", "-a")
    assert [path for path in (box.root / "tmp").iterdir() if any(path.iterdir())] == []


def test_the_demo_shows_links_ports_and_volumes(based: Box, tmp_path: Path) -> None:
    shown = based.out("demo", env={"TMPDIR": str(tmp_path)}, timeout=300)
    assert shown.count("   ok: ") == 7
    assert "Hello from the host: visit 3" in shown
    assert "devbox-demo" not in based.out("ps", "-a")
    assert "devbox-demo" not in based.out("images")
    assert list(tmp_path.iterdir()) == []


def test_two_demos_do_not_meet_and_one_is_kept(based: Box, tmp_path: Path) -> None:
    based("create", "--name", "devbox-demo-web", "busybox", "true")
    based.env["TMPDIR"] = str(tmp_path)
    try:
        with based.popen("demo", "--keep", stdout=subprocess.PIPE) as kept:
            assert based.out("demo", timeout=300).count("   ok: ") == 7
            shown = kept.communicate(timeout=300)[0].decode()
    finally:
        del based.env["TMPDIR"]
    assert (kept.returncode, shown.count("   ok: ")) == (0, 7), shown
    assert based.out("ps", "--format", "{{.Names}}", "-f", "name=devbox-demo").count("\n") == 1
    to_remove = next(line for line in shown.splitlines() if line.startswith("  devbox rm -f "))
    for command in to_remove.split("&&"):
        program, *words = command.split()
        assert (based(*words) if program == "devbox" else subprocess.run([program, *words])).returncode == 0
    assert based.out("ps", "-a", "--format", "{{.Names}}", "-f", "name=devbox-demo") == "devbox-demo-web"
    based("rm", "devbox-demo-web")
    assert list(tmp_path.iterdir()) == []


def test_an_impatient_second_interrupt_leaves_nothing_either(based: Box, tmp_path: Path) -> None:
    based.env["TMPDIR"] = str(tmp_path)
    try:
        with based.popen("demo", stdout=subprocess.PIPE, start_new_session=True) as demo:
            assert demo.stdout is not None
            while b"-web --link devbox-demo-" not in demo.stdout.readline():
                assert demo.poll() is None
            # to the whole group, as a terminal does
            os.killpg(demo.pid, signal.SIGINT)
            os.killpg(demo.pid, signal.SIGINT)
            demo.stdout.read()
            assert demo.wait(30) == 130
    finally:
        del based.env["TMPDIR"]
    assert "devbox-demo" not in based.out("images") + based.out("ps", "-a")
    assert list(tmp_path.iterdir()) == []
