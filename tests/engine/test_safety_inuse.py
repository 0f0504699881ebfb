"""What another command is busy with is left alone by those that clean up meanwhile."""

from __future__ import annotations

import subprocess

import pytest

from tests.engine.conftest import ENTRY, Box

SLOW = [
    # (command, system call that takes long, of how many it is the one)
    ("run -d", "rename", 1), ("run -d", "rename", 3), ("run -d", "unshare", 1), ("run -d", "mount", 2),
    ("run -d", "connect", 1), ("create", "rename", 2), ("create", "rename", 3), ("create", "fsync", 2),
]  # fmt: skip


@pytest.mark.parametrize(("command", "call", "when"), SLOW)
def test_one_that_is_being_made(box: Box, name: str, command: str, call: str, when: int) -> None:
    slow = f"inject={call}:delay_enter=1200000:when={when}"
    argv = ["strace", "-qq", "-e", f"trace={call}", "-e", slow, "-o", "/dev/null", *ENTRY, *command.split()]
    words = ["--name", name, "-v", f"{name}:/data", "-p", "127.0.0.1::80", "busybox", "sleep", "1000"]
    with subprocess.Popen([*argv, *words], env=box.env, stdout=subprocess.DEVNULL) as maker:
        count = 0
        while maker.poll() is None:
            (box.root / "tmp" / f"load.{count}").mkdir()  # of a dead command: whoever comes cleans up everywhere
            box("ps")
            count += 1
    assert maker.returncode == 0
    assert count
    if command == "create":
        box("start", name)
    assert box.out("inspect", "-f", "{{.State.Running}}", name) == "true"
    assert box.out("exec", name, "sh", "-c", "echo kept > /data/file; cat /data/file") == "kept"
    box("rm", "-f", name)
    box("volume", "rm", name)
