"""Before the machine goes off every container ends in peace, and those whose policy says so come back after it."""

from __future__ import annotations

import time

from tests.engine.conftest import Box
from tests.engine.islands import eventually

PEACE = "trap 'sleep 0.3; echo saved; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
DEAF = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


def test_all_end_at_once_and_come_back_by_their_policy(fresh_box: Box) -> None:
    box = fresh_box
    box("bootstrap", "busybox")
    for name, policy, script in (
        ("always", "always", PEACE),
        ("unless", "unless-stopped", PEACE),
        ("never", "no", PEACE),
        ("failing", "on-failure", PEACE),
        ("paused", "always", PEACE),
        ("deaf", "always", DEAF),
        ("stopped", "unless-stopped", PEACE),
    ):
        box("run", "-d", "--stop-timeout", "2", "--restart", policy, "--name", name, "busybox", "sh", "-c", script)
        assert eventually(lambda name=name: "ready" in box.out("logs", name))
    box("run", "-d", "--restart", "always", "--name", "looping", "busybox", "false")
    box("pause", "paused")
    box("stop", "-t", "0", "stopped")
    began = time.monotonic()
    box("internal", "shutdown")
    assert time.monotonic() - began < 5, "one after the other"
    time.sleep(0.5)
    ended = box.out("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()
    assert all(line.endswith(" exited") for line in ended), ended
    codes = {name: box.out("inspect", "-f", "{{.State.ExitCode}}", name) for name in ("always", "paused", "deaf")}
    assert codes == {"always": "5", "paused": "5", "deaf": "137"}
    assert "saved" in box.out("logs", "never")
    box("internal", "boot")
    running = set(box.out("ps", "--filter", "status=running", "--format", "{{.Names}}").split())
    assert running - {"looping"} == {"always", "unless", "paused", "deaf"}
    box("internal", "shutdown")
