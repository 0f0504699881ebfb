"""`machine resize`: the settings file keeps everything else, and a machine that runs is started anew."""

from __future__ import annotations

import tomllib
from pathlib import Path

import paramiko
import pytest

from devbox.cli import main
from devbox.errors import UsageError
from devbox.machine import places, settings_write
from tests.unit.machine.conftest import Machine

Keys = tuple[paramiko.PKey, paramiko.PKey]
FILE = """# mine
default = "work"

[machines.work]   # here
cpus = 2  # few
box = "some/box"

[machines.lab]
cpus = 8
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (FILE, FILE.replace("cpus = 2  # few", "cpus = 4  # few")),
        ("", "[machines.work]\ncpus = 4\n"),
        ("a = 1", "a = 1\n\n[machines.work]\ncpus = 4\n"),
        ("[machines.work]", "[machines.work]\ncpus = 4\n"),
        ('[machines."work"]\n[machines.x]\ncpus=1\n', '[machines."work"]\ncpus = 4\n[machines.x]\ncpus=1\n'),
        ("[machines.work]\r\ncpus=2\r\n", "[machines.work]\r\ncpus=4\r\n"),
    ],
)
def test_one_value_changes_and_nothing_else(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "machines.toml"
    path.write_bytes(before.encode())
    settings_write.change(str(path), "work", {"cpus": 4})
    assert path.read_bytes().decode() == after


@pytest.mark.parametrize("text", ["machines = {work = {cpus = 2}}\n", "machines.work.cpus = 2\n", "x = = 1\n"])
def test_what_cannot_be_changed_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "machines.toml"
    path.write_text(text)
    with pytest.raises(UsageError):
        settings_write.change(str(path), "work", {"cpus": 4})
    assert path.read_text() == text


@pytest.fixture
def settings(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = Path(places.settings_file())
    path.parent.mkdir(parents=True)
    path.write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return path


def test_a_machine_that_is_off_gets_it_later(settings: Path, machine: Machine) -> None:
    assert main.run(["machine", "resize", "work", "--cpus", "3", "--memory", "3g", "--disk", "30g"]) == 0
    work = tomllib.loads(settings.read_text())["machines"]["work"]
    assert (work["cpus"], work["memory"], work["disk"], work["box"]) == (3, "3g", "30g", "some/box")
    assert not (machine.fake / "calls").exists()


def test_a_machine_that_runs_is_started_anew(settings: Path, machine: Machine, keys: Keys) -> None:
    with machine.server(keys[0]):
        main.run(["machine", "up", "work"])
        assert main.run(["machine", "resize", "-f", "--cpus", "3"]) == 0
    verbs = [call.split()[0] for call in machine.calls]
    assert verbs[-3:] == ["halt", "up", "ssh-config"]
    assert '"cpus": 3' in Path(places.machine("work").description).read_text()


@pytest.mark.parametrize("words", [[], ["--cpus", "0"], ["--cpus", "x"], ["--memory", "1"], ["--disk", "40"]])
def test_what_is_no_size_changes_nothing(settings: Path, words: list[str]) -> None:
    assert main.run(["machine", "resize", "work", *words]) == 125
    assert settings.read_text() == FILE


def test_a_disk_does_not_become_smaller(settings: Path) -> None:
    assert main.run(["machine", "resize", "work", "--disk", "30g"]) == 0
    before = settings.read_text()
    assert main.run(["machine", "resize", "work", "--disk", "29g"]) == 125
    assert settings.read_text() == before
