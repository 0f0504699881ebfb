"""The store's files are for root alone, and secrets are where they must be and nowhere else."""

from __future__ import annotations

import os
import secrets
import sqlite3
import subprocess
import sys
from pathlib import Path

from tests.engine.conftest import Box


def test_the_run_directory_is_private_whatever_the_umask(tmp_path: Path) -> None:
    """A bundle has the variables of its container, and below /run nothing else protects it."""
    root, run = tmp_path / "state", tmp_path / "run"
    root.mkdir(mode=0o755)
    run.mkdir()
    run.chmod(0o777)
    code = (
        "import os, sys; os.umask(0)\n"
        "from devbox.store.database import Store; from devbox.store.root import Root\n"
        "Store.open(Root(sys.argv[1], sys.argv[2])).close(); Store.open(Root(sys.argv[1], sys.argv[3])).close()"
    )
    subprocess.run([sys.executable, "-c", code, root, run, tmp_path / "other" / "run"], check=True)
    assert run.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "other" / "run").stat().st_mode & 0o777 == 0o700


def test_nobody_else_can_reach_anything_that_is_not_meant_for_them(box: Box, name: str) -> None:
    box("run", "-d", "--name", name, "-p", "127.0.0.1::80", "-v", "safetymodes:/data", "busybox", "sleep", "1000")
    nobody = "import os, sys; os.setgid(65534); os.setuid(65534); os.stat(sys.argv[1])"
    os.chmod(box.root.parent, 0o755)
    for place in (
        "state.db",
        "run/containers",
        "run/runtime/.",
        "containers/.",
        "layers/.",
        "volumes/safetymodes",
        "blobs/sha256",
    ):
        assert (box.root / place).exists()
        done = subprocess.run([sys.executable, "-c", nobody, box.root / place], capture_output=True, check=False)
        assert b"PermissionError" in done.stderr, place
    box("rm", "-f", name)
    box("volume", "rm", "safetymodes")


def test_a_secret_variable_is_in_no_argument_log_event_or_error(box: Box, name: str) -> None:
    word = f"secret{secrets.token_hex(8)}"
    box("run", "-d", "--name", name, "-e", f"KEY={word}", "--health-cmd", "true", "busybox", "sleep", "1000")
    box("exec", "-d", "-e", f"OTHER={word}", name, "sleep", "1000")
    box("commit", name, f"{name}-image")
    assert word not in box.out("history", "--no-trunc", f"{name}-image")
    assert word not in box.out("events", "--since", "10m", "--until", "0s")
    assert word not in box.fails("run", "--rm", "-e", f"KEY={word}", "busybox", "/no/such", code=127)
    assert word not in box.fails("run", "--rm", "-e", f"KEY={word}", "--network", "nosuch", "busybox", "true")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            assert word.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
    with sqlite3.connect(box.root / "state.db") as db:
        assert not db.execute("SELECT 1 FROM events WHERE attributes_json LIKE ?", (f"%{word}%",)).fetchall()
    box("rmi", f"{name}-image")
