"""The demo: all of it works, and nothing of it stays, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.engine.conftest import Box

SECONDS_TO_BOOTSTRAP = 300


@pytest.fixture(scope="module")
def stage(box: Box, tmp_path_factory: pytest.TempPathFactory) -> Box:
    """The session's box with the demo's base image in the cache."""
    packages = ("--include", "python3,redis-server", "--tag", "kept/base")
    box("bootstrap", "debian:bookworm", *packages, timeout=SECONDS_TO_BOOTSTRAP)
    box.env["TMPDIR"] = str(tmp_path_factory.mktemp("demo"))
    return box


def left(box: Box) -> list[str]:
    names = [
        *box.out("ps", "--all", "--format", "{{.Names}}").split(),
        *box.out("images", "--format", "{{.Repository}}").split(),
        *box.out("volume", "ls", "--quiet").split(),
        *os.listdir(box.env["TMPDIR"]),
    ]
    return [name for name in names if "demo" in name]


def test_it_shows_all_it_promises_and_leaves_nothing(stage: Box) -> None:
    shown = stage.out("demo", timeout=SECONDS_TO_BOOTSTRAP)
    assert "DB_PORT_6379_TCP_ADDR=" in shown
    assert "\tdb " in shown
    assert "Hello from devbox: visit 1" in shown
    assert "Edited on the host: visit 2" in shown
    assert "ok: redis's image is the base's layer" in shown
    assert "The time it took" in shown
    assert left(stage) == []


def test_kept_it_runs_on_and_says_how_to_remove_it(stage: Box) -> None:
    shown = stage.out("demo", "--keep", timeout=SECONDS_TO_BOOTSTRAP)
    assert set(stage.out("ps", "--format", "{{.Image}}").split()) >= {"demo/base", "demo/redis"}
    again = stage.fails("demo")
    assert "demo-redis" in again
    assert "an earlier demo" in again
    removal = shown.rpartition("To remove it: ")[2]
    for command in removal.split(" && "):
        words = command.split()
        if words[0] == "devbox":
            stage(*words[1:])
        else:
            subprocess.run(words, check=True)
    assert left(stage) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["commit", "--name demo-web"])
def test_interrupted_it_leaves_nothing(stage: Box, moment: str, number: signal.Signals) -> None:
    with stage.popen("demo", stdout=subprocess.PIPE, start_new_session=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if moment.encode() in line:
                break
        # twice and to all of it, as an impatient person's Ctrl-C
        os.killpg(demo.pid, number)
        os.killpg(demo.pid, number)
        demo.stdout.read()
    assert demo.returncode == 130
    assert left(stage) == []


def test_a_broken_promise_fails_it_with_one_sentence(stage: Box, tmp_path: Path) -> None:
    # a colon keeps the application's directory from being given to --volume
    (tmp_path / "a:b").mkdir()
    message = stage.fails("demo", code=1, env={"TMPDIR": str(tmp_path / "a:b")})
    assert message.startswith("devbox: 'devbox run")
    assert message.count("\n") <= 2
    assert os.listdir(tmp_path / "a:b") == []
    assert left(stage) == []
