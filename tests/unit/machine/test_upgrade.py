"""`machine upgrade`: what apt says in the machine, in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devbox.cli import main
from devbox.machine import places, records
from devbox.machine.drivers.driver import Endpoint
from tests.unit.machine.conftest import Machine


@pytest.fixture
def ssh(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    records.write_endpoint(places.machine("default"), Endpoint("127.0.0.1", 1, "vagrant", "", "ssh-ed25519 AAAA"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "bin/ssh"


def says(ssh: Path, script: str) -> None:
    ssh.write_text(f"#!/bin/sh\n{script}\n")
    ssh.chmod(0o755)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("12 upgraded, 0 newly installed, 0 to remove and 1 not upgraded.", "12 packages of default upgraded\n"),
        ("1 upgraded, 0 newly installed", "1 package of default upgraded\n"),
        ("nothing known", "0 packages of default upgraded\n"),
    ],
)
def test_it_says_how_many(ssh: Path, text: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    says(ssh, f"echo Reading; echo '{text}'")
    assert main.run(["machine", "upgrade"]) == 0
    assert capsys.readouterr().out == printed


def test_why_it_failed_is_told(ssh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    says(ssh, "echo 'E: no space left' >&2; exit 100")
    assert main.run(["machine", "upgrade"]) == 125
    assert "could not be brought up to date: E: no space left" in capsys.readouterr().err
