"""`start` of the settings: what happens when a command needs a machine that does not run."""

from __future__ import annotations

import io
from pathlib import Path

import paramiko
import pytest

from devbox.cli import main
from devbox.errors import MachineGoneError
from devbox.machine import places, proxy
from devbox.model.invocation import Invocation
from tests.unit.machine.conftest import Machine

Capture = pytest.CaptureFixture[str]
Keys = tuple[paramiko.PKey, paramiko.PKey]


class Proxy:
    """Stands for the way to the machine; the first commands find nobody there."""

    def __init__(self, *, unreached: int = 0, error: MachineGoneError | None = None) -> None:
        self.unreached = unreached
        self.error = error
        self.sent: list[Invocation] = []

    def __call__(self, invocation: Invocation, machine: str, *_: object) -> int:
        if self.unreached:
            self.unreached -= 1
            raise proxy.NotReachedError("nothing answers")
        self.sent.append(invocation)
        if self.error:
            raise self.error
        return 7


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def settings(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = Path(places.settings_file())
    path.parent.mkdir(parents=True)
    path.write_text('[machines.work]\nprovider = "libvirt"\nbox = "some/box"\nstart = "always"\n')
    monkeypatch.chdir(tmp_path)
    return path


def ps(monkeypatch: pytest.MonkeyPatch, way: Proxy) -> int:
    monkeypatch.setattr(proxy, "run", way)
    return main.run(["--machine", "work", "ps"])


def test_always_starts_it_and_sends_the_command_once(
    settings: Path, machine: Machine, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = Proxy()
    with machine.server(keys[0]):
        assert ps(monkeypatch, way) == 7
        assert [call.split()[0] for call in machine.calls] == ["up", "ssh-config"]
        assert ps(monkeypatch, Proxy(unreached=1)) == 7
    assert [call.split()[0] for call in machine.calls] == ["up", "ssh-config"] * 2
    assert len(way.sent) == 1


def test_a_machine_that_goes_under_way_is_not_started(
    settings: Path,
    machine: Machine,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with machine.server(keys[0]):
        ps(monkeypatch, Proxy())
    way = Proxy(error=MachineGoneError("the machine is gone"))
    assert ps(monkeypatch, way) == 125
    assert len(way.sent) == 1
    assert "the machine is gone" in capsys.readouterr().err


@pytest.mark.parametrize("start", ["never", "ask"])
def test_a_script_is_not_asked(
    settings: Path,
    start: str,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings.write_text(settings.read_text().replace("always", start))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert ps(monkeypatch, Proxy()) == 125
    assert "devbox machine up work" in capsys.readouterr().err
    assert not (machine.fake / "calls").exists()


@pytest.mark.parametrize(("answer", "code"), [("\n", 7), ("y\n", 7), ("n\n", 125), ("", 125)])
def test_a_person_is_asked(
    settings: Path, answer: str, code: int, machine: Machine, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.write_text(settings.read_text().replace("always", "ask"))
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", Terminal())
    with machine.server(keys[0]):
        assert ps(monkeypatch, Proxy()) == code
