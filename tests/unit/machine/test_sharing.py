"""--share: what a command lacks is written to the settings, once, and the machine is started anew."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import paramiko
import pytest

from devbox.cli import main
from devbox.machine import places, proxy
from devbox.model.invocation import Invocation
from tests.unit.machine.conftest import Machine

Keys = tuple[paramiko.PKey, paramiko.PKey]


@pytest.fixture
def sent(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Invocation]:
    """A machine with one share that is up; what is sent to it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text("#!/bin/sh\n")
    (tmp_path / "bin/ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    for name in ("src", "one", "two/sub"):
        (tmp_path / name).mkdir(parents=True)
    path = Path(places.settings_file())
    path.parent.mkdir(parents=True)
    path.write_text(
        f'[machines.work]\nprovider = "libvirt"\nbox = "some/box"\nshares = ["{tmp_path}/src"]  # mine\n'
    )
    monkeypatch.chdir(tmp_path)
    found: list[Invocation] = []

    def run(invocation: Invocation, *_: object) -> int:
        found.append(invocation)
        return 0

    monkeypatch.setattr(proxy, "run", run)
    return found


def test_everything_that_is_missing_is_shared_with_one_restart(
    sent: list[Invocation], machine: Machine, keys: Keys, tmp_path: Path
) -> None:
    with machine.server(keys[0]):
        main.run(["machine", "up"])
        line = ["--machine", "work", "run", "-v", "./one:/1", "-v", "./two:/2", "-v", "./src:/3", "i"]
        assert main.run(line) == 125
        assert not sent
        assert main.run([*line[:3], "--share", *line[3:]]) == 0
        assert main.run(line) == 0, "it is shared now"
    assert sent[0].params["volume"] == (f"{tmp_path}/one:/1", f"{tmp_path}/two:/2", f"{tmp_path}/src:/3")
    text = Path(places.settings_file()).read_text()
    assert "# mine" in text
    shares = tomllib.loads(text)["machines"]["work"]["shares"]
    assert shares == [f"{tmp_path}/src", f"{tmp_path}/one", f"{tmp_path}/two"]
    assert [call.split()[0] for call in machine.calls].count("halt") == 1
    described = json.loads(Path(places.machine("work").description).read_text())["shares"]
    assert [share["host"] for share in described] == shares


def test_a_share_that_covers_another_takes_its_place(
    sent: list[Invocation], machine: Machine, keys: Keys, tmp_path: Path
) -> None:
    with machine.server(keys[0]):
        main.run(["machine", "up"])
        assert main.run(["--machine", "work", "create", "--share", "-v", ".:/all", "i"]) == 0
    assert tomllib.loads(Path(places.settings_file()).read_text())["machines"]["work"]["shares"] == [str(tmp_path)]


def test_a_host_behind_ssh_says_what_to_do_instead(
    sent: list[Invocation], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from devbox.machine import records
    from devbox.machine.drivers.driver import Endpoint

    Path(places.settings_file()).write_text('[machines.lab]\naddress = "ssh://root@lab"\n')
    records.write_endpoint(places.machine("lab"), Endpoint("lab", 22, "root"))
    assert main.run(["--machine", "lab", "run", "--share", "-v", "./one:/1", "i"]) == 125
    assert "only `mirrors` of this one" in capsys.readouterr().err
