"""`devbox doctor`: each thing that is wrong is found, with the command that mends it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import paramiko
import pytest

from devbox.cli import main
from devbox.machine import doctor, doctor_project, places, records
from devbox.machine.drivers.driver import Endpoint
from devbox.machine.settings import MachineSettings
from devbox.machine.translation.mountmap import Share
from devbox.model.finding import Finding
from tests.unit.machine.conftest import Machine, serving

Keys = tuple[paramiko.PKey, paramiko.PKey]


def texts(findings: list[Finding], level: str) -> list[str]:
    return [finding.text for finding in findings if finding.level == level]


class TestProject:
    def test_a_clean_project_is_ok(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("a\r\n")
        (tmp_path / "Dockerfile").write_text("FROM x\r\n")
        (finding,) = doctor_project.findings(str(tmp_path))
        assert finding.level == "ok"

    def test_scripts_that_linux_cannot_run(self, tmp_path: Path) -> None:
        script = tmp_path / "it's run.sh"
        script.write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
        problem, warning = doctor_project.findings(str(tmp_path))
        assert (problem.level, warning.level) == ("problem", "warning")
        assert "line ends of Windows" in problem.text
        for finding in (problem, warning):
            subprocess.run(finding.mend, shell=True, check=True)
        assert [finding.level for finding in doctor_project.findings(str(tmp_path))] == ["ok"]
        assert subprocess.run([script], check=False).returncode == 0

    def test_names_that_are_one_elsewhere(self, tmp_path: Path) -> None:
        for name in ("Readme", "README", "caf\u00e9", "cafe\u0301", "other"):
            (tmp_path / name).touch()
        found = texts(list(doctor_project.findings(str(tmp_path))), "problem")
        assert len(found) == 2
        assert any("README and Readme" in text for text in found)

    def test_what_others_brought_is_not_looked_at(self, tmp_path: Path) -> None:
        for name in ("node_modules", ".git", ".venv"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "x.sh").write_bytes(b"#!/bin/sh\r\n")
        assert [finding.level for finding in doctor_project.findings(str(tmp_path))] == ["ok"]

    def test_many_are_told_by_their_number(self, tmp_path: Path) -> None:
        for number in range(15):
            (tmp_path / f"{number}.sh").write_bytes(b"#!/bin/sh\r\n")
        found = list(doctor_project.findings(str(tmp_path)))
        assert len(texts(found, "problem")) == 10
        assert "5 more scripts with line ends of Windows" in texts(found, "note")

    def test_a_synchronised_folder_is_told(self, tmp_path: Path) -> None:
        place = tmp_path / "OneDrive/src"
        place.mkdir(parents=True)
        (finding,) = doctor_project.findings(str(place))
        assert finding.level == "warning"


def look(settings: MachineSettings) -> list[Finding]:
    return list(doctor.findings(settings))


@pytest.fixture
def here(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MachineSettings:
    """A machine with nothing wrong but that it was never up; programs are fakes."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("virsh", "qemu-img", "ssh", "vagrant"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    (programs / "vagrant").write_text(
        '#!/bin/sh\n[ "$1" = plugin ] && echo vagrant-libvirt || echo Vagrant 2.3.4\n'
    )
    (tmp_path / "a.box").touch()
    (tmp_path / "src").mkdir()
    shares = (Share(str(tmp_path / "src"), "/src"),)
    return MachineSettings(
        "work", "libvirt", cpus=1, memory=256, box=str(tmp_path / "a.box"), connection="session",
        acceleration="none", shares=shares,
    )  # fmt: skip


def test_nothing_is_wrong(here: MachineSettings) -> None:
    found = look(here)
    assert not texts(found, "problem")
    assert not texts(found, "warning")
    assert "devbox machine up work" in [finding.mend for finding in found]


def test_what_is_missing_is_named_with_the_command(here: MachineSettings, tmp_path: Path) -> None:
    (tmp_path / "programs/virsh").unlink()
    os.environ["PATH"] = str(tmp_path / "programs")
    (tmp_path / "programs/vagrant").unlink()
    (tmp_path / "a.box").unlink()
    (tmp_path / "src").rmdir()
    found = {finding.text: finding.mend for finding in look(here) if finding.level == "problem"}
    assert found["vagrant is not installed"] == "sudo apt-get install vagrant"
    assert "libvirt-clients" in found["the provider libvirt is not here: there is no virsh"]
    assert "provision/box.sh" in found[f"there is no box file {here.box}"]
    assert any("cannot be shared" in text for text in found)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ("Vagrant 2.2.19", "2.3 or newer is needed"),
        ("oops", "2.3 or newer is needed"),
        ("Vagrant 2.4.1", "no plugin"),
    ],
)
def test_an_old_vagrant_and_a_missing_plugin(
    here: MachineSettings, tmp_path: Path, says: str, expected: str
) -> None:
    (tmp_path / "programs/vagrant").write_text(f"#!/bin/sh\necho {says}\n")
    assert any(expected in text for text in texts(look(here), "problem"))


def test_a_machine_that_is_too_large_for_this_host(here: MachineSettings) -> None:
    found = look(here._replace(memory=1 << 30, cpus=4096))
    assert any("MiB of this host's" in text for text in texts(found, "problem"))
    assert any("4096 CPUs" in text for text in texts(found, "warning"))


def test_files_that_others_may_read(here: MachineSettings, tmp_path: Path) -> None:
    place = places.machine("work")
    key = tmp_path / "key"
    key.touch(mode=0o644)
    records.write_endpoint(place, Endpoint("127.0.0.1", 1, "vagrant", str(key), "ssh-ed25519 AAAA"))
    os.chmod(place.directory, 0o755)
    found = {finding.mend for finding in look(here) if finding.level == "problem"}
    assert {f"chmod 700 {place.directory}", f"chmod 600 {key}"} <= found
    key.unlink()
    assert any("is gone" in text for text in texts(look(here), "problem"))


def test_a_machine_that_runs_and_is_not_well(here: MachineSettings, tmp_path: Path, keys: Keys) -> None:
    place = places.machine("work")
    with serving(keys[0], tmp_path / "port") as port:
        records.write_endpoint(place, Endpoint("127.0.0.1", port, "vagrant", "", "ssh-ed25519 AAAA"))
        (tmp_path / "programs/ssh").write_text(
            "#!/bin/sh\necho 1000000000.5; echo 1024; echo 99999; echo 6.1.0; echo crun\n"
        )
        found = look(here)
    assert any(text.startswith("its clock differs by") for text in texts(found, "warning"))
    assert any("nearly full" in text for text in texts(found, "warning"))
    assert any("it lacks crun" in text for text in texts(found, "problem"))
    with serving(keys[0], tmp_path / "port") as port:
        records.write_endpoint(place, Endpoint("127.0.0.1", port, "vagrant", "", "ssh-ed25519 AAAA"))
        (tmp_path / "programs/ssh").write_text("#!/bin/sh\necho no such user >&2; exit 255\n")
        assert any("no such user" in text for text in texts(look(here), "problem"))


def test_shares_that_wait_for_a_restart_and_a_port_that_is_taken(here: MachineSettings, keys: Keys) -> None:
    import socket

    place = places.machine("work")
    records.write_json(place.shares, {"shares": []})
    records.write_endpoint(place, Endpoint("127.0.0.1", 1, "vagrant", "", "ssh-ed25519 AAAA"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        records.write_json(place.description, {"ssh_port": port, "session": True})
        found = look(here)
    assert "devbox machine restart work" in [finding.mend for finding in found if finding.level == "warning"]
    assert any(f"taken port {port}" in text for text in texts(found, "problem"))


@pytest.mark.usefixtures("machine")
def test_the_command_and_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    monkeypatch.setenv("DEVBOX_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    main.run(["doctor", "--json"])
    clean = json.loads(capsys.readouterr().out)
    assert {finding["topic"] for finding in clean["findings"]} == {"engine", "project"}
    (project / "run.sh").write_bytes(b"#!/bin/sh\r\n")
    assert main.run(["doctor", "-q", ".", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"] == clean["problems"] + 1
    assert main.run(["doctor", "-q"]) == 1
    printed = capsys.readouterr().out
    assert f"  PROBLEM  {project}/run.sh has the line ends of Windows" in printed
    assert f"           perl -pi -e 's/\\r$//' {project}/run.sh" in printed
    assert "  ok " not in printed
    assert main.run(["doctor", "-m", "nosuch"]) == 1
    assert main.run(["doctor", "nowhere"]) == 125


def test_a_link_that_git_wrote_as_a_file(tmp_path: Path) -> None:
    for name in ("file", "longer-name-of-a-file"):
        (tmp_path / name).write_text("x")
        (tmp_path / f"to-{name}").symlink_to(name)
    git = ("git", "-C", str(tmp_path))
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    (ok,) = doctor_project.findings(str(tmp_path))
    assert ok.level == "ok"
    for name in ("file", "longer-name-of-a-file"):
        (tmp_path / f"to-{name}").unlink()
    subprocess.run([*git, "-c", "core.symlinks=false", "checkout", "-q", "--", "."], check=True)
    found = [*doctor_project.findings(str(tmp_path))]
    assert [finding.level for finding in found] == ["problem", "problem"]
    assert f"{tmp_path}/to-file is a symbolic link in git and a plain file here" in [each.text for each in found]
    for finding in found:
        for line in finding.mend.split(", then "):
            subprocess.run(line, shell=True, check=True)
    assert (tmp_path / "to-file").is_symlink()
    (tmp_path / ".git/index").write_bytes(b"DIRC\0\0\0\2\0\0\0\x09short")
    (ok,) = doctor_project.findings(str(tmp_path))
    assert ok.level == "ok"


@pytest.mark.parametrize(
    ("present", "provider", "level", "text"),
    [
        ("True", "virtualbox", "warning", "Hyper-V is on"),
        ("False", "hyperv", "problem", "Hyper-V is off"),
        ("False", "virtualbox", "", ""),
        ("True", "hyperv", "", ""),
        ("", "virtualbox", "", ""),
    ],
)
def test_one_hypervisor_keeps_out_the_other(
    here: MachineSettings, tmp_path: Path, present: str, provider: str, level: str, text: str
) -> None:
    program = tmp_path / "programs/powershell"
    program.write_text(f"#!/bin/sh\necho {present}\n")
    program.chmod(0o755)
    found = [*doctor.hypervisor(provider, "win32")]
    assert [(each[0], each[1].startswith(text)) for each in found] == ([(level, True)] if level else [])
    assert all("restart Windows" in each[2] for each in found)
    assert not [*doctor.hypervisor(provider, "linux")]


def test_the_engines_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from devbox.cli import doctor_engine
    from devbox.system import process

    monkeypatch.setenv("DEVBOX_ROOT", str(tmp_path))
    monkeypatch.setattr(process, "path_of", lambda name: name if name in ("runc", "conmon") else "")
    monkeypatch.setattr(doctor_engine, "_ROOM_NEEDED", 1 << 60)
    monkeypatch.setattr(doctor_engine, "_ROOM_WISHED", 1 << 61)
    found = {finding.text.split(" ")[0]: finding for finding in doctor_engine.findings({})}
    assert found["nft"].mend == "sudo apt-get install nftables"
    assert "crun" not in found, "runc will do"
    assert "conmon" not in found
    assert found["only"].level == "problem"
