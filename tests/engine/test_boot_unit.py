"""The unit that provision/boot-unit.sh installs: its own lines, run as systemd would."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devbox.store.root import RUN_DEFAULT, STATE_DEFAULT
from tests.engine.conftest import Box

SCRIPT = Path(__file__).parents[2] / "provision" / "boot-unit.sh"
INSTALL = """
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /etc/systemd/system || exit
mount -t tmpfs tmpfs /etc/systemd/system && {script} install && cat /etc/systemd/system/devbox.service || exit
{script} remove && ! test -e /etc/systemd/system/devbox.service
"""


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that it installs where systemd runs, which a stand-in for systemctl is told of."""
    place = tmp_path_factory.mktemp("unit")
    programs = place / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{place}/told\n')
    (programs / "devbox").write_text(f'#!/bin/sh\nexec {sys.executable} -m devbox "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    words = ["unshare", "-m", "sh", "-c", INSTALL.format(script=SCRIPT)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert (place / "told").read_text().split("\n")[:2] == ["daemon-reload", "enable --now devbox.service"]
    (place / "devbox.service").write_text(done.stdout)
    return place / "devbox.service"


def commands(unit: Path) -> dict[str, list[str]]:
    lines = (line.partition("=") for line in unit.read_text().splitlines())
    return {key: shlex.split(value) for key, _, value in lines if key in ("ExecStart", "ExecStop")}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_it(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_about_the_place_where_devbox_is_without_being_told(unit: Path) -> None:
    for words in commands(unit).values():
        assert words[3:] == ["--root", STATE_DEFAULT, "--run", RUN_DEFAULT]


def test_what_it_stops_it_starts_again_by_policy(unit: Path, fresh_box: Box) -> None:
    """The lines with another place, and as systemd runs them: almost without an environment."""
    box = fresh_box
    box("bootstrap", "busybox")
    for name, policy in (("a", "always"), ("u", "unless-stopped"), ("s", "unless-stopped"), ("n", "no")):
        box("run", "-d", "--network", "none", "--restart", policy, "--name", name, "busybox", "sleep", "1000")
    box("stop", "-t", "0", "s")
    places = {STATE_DEFAULT: str(box.root), RUN_DEFAULT: f"{box.root}/run"}
    lines = {key: [places.get(word, word) for word in words] for key, words in commands(unit).items()}
    for key, running in (("ExecStop", set()), ("ExecStart", {"a", "u"}), ("ExecStop", set())):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(SCRIPT.parents[1])}
        subprocess.run(lines[key], env=environment, check=True, timeout=60)
        assert set(box.out("ps", "--format", "{{.Names}}").split()) == running
