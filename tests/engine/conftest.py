"""The command line on a real kernel, each with a root of its own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ENTRY = (sys.executable, "-m", "devbox")


class Box:
    """Runs devbox with its own DEVBOX_ROOT."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = {**os.environ, "DEVBOX_ROOT": str(root)}

    def __call__(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002
        check: bool = True,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*ENTRY, *args],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            env={**self.env, **(env or {})},
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if check:
            assert done.returncode == 0, f"{' '.join(args)}: {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def popen(self, *args: str, **kwargs: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*ENTRY, *args], env=self.env, **kwargs)

    def out(self, *args: str, **kwargs: Any) -> str:
        """What a successful command prints, without the last newline."""
        return self(*args, **kwargs).stdout.rstrip("\n")

    def json(self, *args: str) -> Any:
        return json.loads(self(*args).stdout)

    def fails(self, *args: str, code: int = 125, **kwargs: Any) -> str:
        """The message of a command that must be refused."""
        done = self(*args, check=False, **kwargs)
        assert done.returncode == code, f"{' '.join(args)}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stderr

    def close(self) -> None:
        """Remove all of it, and see that nothing stays on this machine."""
        self("system", "reset", "--force", timeout=120)
        assert not leftovers(self.root)


def leftovers(root: Path) -> list[str]:
    """Processes and mounts that name this root."""
    found = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(root) in line]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(root) in command and int(pid) != os.getpid():
            found.append(f"{pid}: {command}")
    return found


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    box = Box(tmp_path_factory.mktemp("box"))
    box("bootstrap", "busybox")
    yield box
    box.close()


@pytest.fixture
def fresh_box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path / "root")
    yield box
    box.close()


@pytest.fixture
def name(box: Box) -> Iterator[str]:
    """A container's name that nobody else has; the container goes with the test."""
    name = f"t{secrets.token_hex(4)}"
    yield name
    box("rm", "-f", "-v", name, check=False)
