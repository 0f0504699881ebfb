"""A container that stands still though no row says so: every command that ends containers ends it."""

from __future__ import annotations

import sqlite3

import pytest

from tests.engine.conftest import Box


def freeze_unrecorded(box: Box, name: str) -> None:
    """As a `pause` leaves it that was killed between the kernel and the state file."""
    box("run", "-d", "--name", name, "busybox", "sleep", "1000")
    box("pause", name)
    with sqlite3.connect(box.root / "state.db") as db:
        db.execute("UPDATE containers SET status = 'running' WHERE name = ?", (name,))
    db.close()


@pytest.mark.parametrize("words", [("stop", "-t", "0"), ("kill",), ("rm", "-f"), ("restart", "-t", "0")])
def test_a_frozen_container_can_be_ended(box: Box, name: str, words: tuple[str, ...]) -> None:
    freeze_unrecorded(box, name)
    box(*words, name, timeout=20)
    if words[0] in ("stop", "kill"):
        assert box.out("inspect", "-f", "{{.State.Status}}", name) == "exited"


def test_a_pause_that_cannot_be_recorded_is_taken_back(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "busybox", "sleep", "1000")
    with sqlite3.connect(box.root / "state.db") as db:
        db.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE OF status ON containers BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    try:
        box.fails("pause", name)
    finally:
        with sqlite3.connect(box.root / "state.db") as db:
            db.execute("DROP TRIGGER refuse")
        db.close()
    assert box.out("exec", name, "echo", "alive", timeout=10) == "alive"
