"""`devbox machine ...`: what is printed, with a fake vagrant."""

from __future__ import annotations

import json
from pathlib import Path

import paramiko
import pytest

from devbox.cli import main
from devbox.machine import openssh, places
from devbox.machine.drivers.driver import Endpoint
from tests.unit.machine.conftest import Machine

Keys = tuple[paramiko.PKey, paramiko.PKey]


@pytest.fixture
def settings(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(places.settings_file())
    path.parent.mkdir(parents=True)
    path.write_text('[machines.work]\nprovider = "libvirt"\nbox = "some/box"\n')
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("settings")
def test_up_tells_its_phases_and_where_the_machine_is(
    machine: Machine, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    with machine.server(keys[0]) as port:
        assert main.run(["machine", "up"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"work is up at 127.0.0.1:{port} (")
    assert [line.partition(":")[0] for line in printed.err.splitlines()] == [
        "boot",
        "boot",
        "address",
        "address",
        "host key",
        "host key",
    ]
    with machine.server(keys[0]) as port:
        assert main.run(["machine", "up", "--json", "work"]) == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert printed.err == ""
    assert (document["name"], document["result"], document["endpoint"]["port"]) == ("work", "up", port)
    assert [phase["phase"] for phase in document["phases"]] == ["prepare", "boot", "address", "host key"]


@pytest.mark.usefixtures("settings")
def test_status_list_and_the_rest_of_a_life(
    machine: Machine, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["machine", "status"]) == 0
    assert capsys.readouterr().out == "work: absent (not created)\n"
    assert main.run(["machine", "halt"]) == 125
    assert "does not exist" in capsys.readouterr().err
    with machine.server(keys[0]) as port:
        main.run(["machine", "up"])
        main.run(["machine", "suspend"])
        main.run(["machine", "resume"])
        main.run(["machine", "restart"])
        capsys.readouterr()
        assert main.run(["machine", "ls"]) == 0
    assert capsys.readouterr().out.split() == [
        "NAME",
        "STATE",
        "PROVIDER",
        "ADDRESS",
        "work",
        "running",
        "libvirt",
        f"127.0.0.1:{port}",
    ]
    assert main.run(["machine", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["state"] == "running"
    assert main.run(["machine", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["detail"] == "running"
    assert main.run(["machine", "logs", "-n", "1"]) == 0
    assert "state-human-short" in capsys.readouterr().out
    assert main.run(["machine", "destroy", "-f"]) == 0
    assert main.run(["machine", "ls", "-q"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "work"
    asked = [call.partition(" ")[0] for call in machine.calls]
    assert asked[:6] == ["up", "ssh-config", "suspend", "resume", "halt", "up"]
    assert "destroy" in asked


@pytest.mark.usefixtures("settings")
def test_destroy_asks_first(machine: Machine, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    with machine.server(keys[0]):
        main.run(["machine", "up"])
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main.run(["machine", "destroy"]) == 0
    assert not any(call.startswith("destroy") for call in machine.calls)


@pytest.mark.usefixtures("settings")
def test_snapshots_and_their_mistakes(machine: Machine, keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
    with machine.server(keys[0]):
        main.run(["machine", "up"])
    capsys.readouterr()
    assert main.run(["machine", "snapshot", "save", "one"]) == 0
    assert main.run(["machine", "snapshot", "list"]) == 0
    assert capsys.readouterr().out == "one\nfirst\nbefore upgrade\n"
    assert main.run(["machine", "snapshot", "sav", "one"]) == 125
    assert "did you mean save?" in capsys.readouterr().err
    assert main.run(["machine", "snapshot", "save", "--force"]) == 125
    assert main.run(["machine", "snapshot", "delete"]) == 125


@pytest.mark.usefixtures("settings")
def test_all_mistakes_in_the_settings_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    Path(places.settings_file()).write_text("[machines.work]\ncpu = 1\nmemory = 1\n")
    assert main.run(["machine", "up"]) == 125
    printed = capsys.readouterr().err
    assert "machines.toml:2: machines.work.cpu: there is no such key (did you mean cpus?)" in printed
    assert "machines.toml:3: machines.work.memory:" in printed
    assert main.run(["machine", "up", "../x"]) == 125


@pytest.mark.usefixtures("settings")
def test_ssh_config_has_the_pinned_key_only(
    machine: Machine, keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["machine", "ssh-config"]) == 125
    assert "is not up" in capsys.readouterr().err
    with machine.server(keys[0]) as port:
        main.run(["machine", "up"])
    capsys.readouterr()
    assert main.run(["machine", "ssh-config"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "Host devbox-work"
    assert {f"Port {port}", "StrictHostKeyChecking yes", 'IdentityFile "/home/ann b/.vagrant.d/key"'} <= set(lines)


def test_the_words_of_ssh_arrive_as_they_are() -> None:
    line = openssh.argv(places.MachinePlace("work", "/d"), Endpoint("h", 22, "u"), ["echo", "a b", "$(x)", "-n"])
    assert line[-3:] == ["--", "work", "echo 'a b' '$(x)' -n"]
