"""Two of anything at once, where one makes what the other takes away: one wins, the other is told (SAFETY 16)."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.engine.conftest import Box
from tests.engine.registries import registry
from tests.engine.test_crash import settled


def together(box: Box, *lines: Sequence[str]) -> list[tuple[int, str]]:
    started = [box.popen(*line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for line in lines]
    ended = [(one.communicate(timeout=120)[1].decode(), one.returncode) for one in started]
    assert not [error for error, _ in ended if "Traceback" in error or "defect" in error]
    return [(code, error) for error, code in ended]


def test_start_with_rm(box: Box, name: str) -> None:
    for _ in range(3):
        box("create", "--name", name, "-p", "127.0.0.1::80", "-v", "/anonymous", "busybox", "sleep", "1000")
        results = together(
            box, *([("start", name)] * 6), *([("rm", "-f", "-v", name)] * 2), *([("start", name)] * 2)
        )
        assert {code for code, _ in results} <= {0, 125}
        told = ("no such container", "was started again", f"container {name} is")
        assert all(any(words in error for words in told) for code, error in results if code), results
        removed = any(code == 0 for code, _ in results[6:8])
        there = box("inspect", "-f", "{{.State.Running}}", name, check=False)
        assert removed == (there.returncode == 125)
        box("rm", "-f", "-v", name, check=False)  # that both were told of a start in between is a win of its own
        settled(box)
    assert box("check", check=False).returncode == 0


def test_pull_with_prune(box: Box, fresh_box: Box, tmp_path: Path) -> None:
    with registry(tmp_path / "registry") as there:
        image = f"{there.host}/app:1"
        box("tag", "busybox", image)
        box("push", image)
        box("rmi", image)
        for _ in range(2):
            lines = [("pull", "-q", image), ("image", "prune", "-a", "-f"), ("rmi", "-f", image)]
            results = together(fresh_box, *(lines * 5), ("pull", "-q", image))
            assert all(code == 0 or "no such image" in error for code, error in results), results
            assert fresh_box.out("check") == "the store is in order"
        fresh_box("pull", "-q", image)
        assert fresh_box.out("run", "--rm", image, "echo", "whole") == "whole"
