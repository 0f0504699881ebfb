"""bootstrap of Debian from this machine's package mirror: what comes out, and what an interruption leaves."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.engine.conftest import Box, leftovers

PACKAGES = ("--include", "tini,bc")


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A store with debian:bookworm in it, made once: it takes a quarter of a minute."""
    box = Box(tmp_path_factory.mktemp("bootstrap"))
    box("bootstrap", "debian:bookworm", "-q", *PACKAGES, "-t", "base", timeout=300)
    yield box
    box.close()


def test_it_runs_and_knows_nothing_of_this_machine(debian: Box) -> None:
    script = "cat /etc/debian_version; echo 6*7 | bc; tini --version; cat /etc/apt/sources.list; id -un"
    version, *lines = debian.out("run", "--rm", "--network", "none", "base", "bash", "-c", script).splitlines()
    assert version.startswith("12.")
    assert lines[0] == "42"
    assert lines[1].startswith("tini version")
    example = "grep -h ^deb /usr/share/doc/apt/examples/sources.list"
    official = {line.split()[1] for line in debian.out("run", "--rm", "base", "sh", "-c", example).splitlines()}
    assert {line.split()[1] for line in lines[2:-1]} == official
    assert lines[-1] == "root"
    (layer,) = (debian.root / "layers").iterdir()
    assert (layer / "diff/etc/hostname").read_text() == ""
    assert list((layer / "diff/dev").iterdir()) == []
    assert not (layer / "diff/etc/apt/apt.conf.d/99mmdebstrap").exists()
    assert debian.out("check") == "the store is in order"


def test_the_same_is_not_made_twice(debian: Box) -> None:
    first = debian.out("image", "inspect", "-f", "{{.Id}}", "base")
    began = time.monotonic()
    words = ("--include", "bc", "--include", "tini", "-t", "again")
    assert debian.out("bootstrap", "debian:bookworm", *words) == first
    assert time.monotonic() - began < 5
    assert len(os.listdir(debian.root / "layers")) == 1


@pytest.mark.parametrize("words", [
    ("debian:Bookworm",), ("debian:bookworm", "--include", "a;b"), ("debian:bookworm", "--include=--help"),
    ("debian:bookworm", "--variant", "huge"), ("fedora",), ("busybox", "--include", "bc"), ("debian:../x",),
    ("busybox", "-t", "Upper"),
])  # fmt: skip
def test_wishes_that_are_refused_at_once(debian: Box, words: tuple[str, ...]) -> None:
    began = time.monotonic()
    assert debian.fails("bootstrap", *words).startswith("devbox: ")
    assert time.monotonic() - began < 3


def test_a_killed_bootstrap_leaves_nothing(debian: Box) -> None:
    """Of the many processes that mmdebstrap starts, and of their mounts; Ctrl-C is tested with the demo."""
    words = ("bootstrap", "debian:bookworm", "--no-cache", "-t", "killed")
    with debian.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as making:
        assert making.stderr is not None
        while b"installing essential" not in (line := making.stderr.readline()):
            assert line, "it ended before it was killed"
        making.kill()
        making.stderr.read()
    deadline = time.monotonic() + 10
    while leftovers(debian.root) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert leftovers(debian.root) == []
    assert "killed" not in debian.out("images")
    assert not any(any(path.iterdir()) for path in (debian.root / "tmp").iterdir())
