"""The main job: `devbox demo` holds what it promises and leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.engine.conftest import Box


def test_the_demo_shows_links_ports_and_volumes(box: Box, tmp_path: Path) -> None:
    shown = box.out("demo", env={"TMPDIR": str(tmp_path)}, timeout=300)
    assert shown.count("   ok: ") == 7
    assert "Hello from the host: visit 3" in shown
    assert "devbox-demo" not in box.out("ps", "-a")
    assert "devbox-demo" not in box.out("images")
    assert list(tmp_path.iterdir()) == []


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


def test_an_impatient_second_interrupt_leaves_nothing_either(box: Box, tmp_path: Path) -> None:
    box("bootstrap", "debian:bookworm", "--include", "redis-server,python3", "-t", "kept/base", timeout=300)
    box.env["TMPDIR"] = str(tmp_path)
    try:
        with box.popen("demo", stdout=subprocess.PIPE, start_new_session=True) as demo:
            assert demo.stdout is not None
            while b"--name devbox-demo-web" not in demo.stdout.readline():
                assert demo.poll() is None
            # to the whole group, as a terminal does
            os.killpg(demo.pid, signal.SIGINT)
            os.killpg(demo.pid, signal.SIGINT)
            demo.stdout.read()
            assert demo.wait(30) == 130
    finally:
        del box.env["TMPDIR"]
        box("rmi", "kept/base")
    assert "devbox-demo" not in box.out("images") + box.out("ps", "-a")
    assert list(tmp_path.iterdir()) == []
