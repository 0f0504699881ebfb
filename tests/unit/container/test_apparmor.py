from __future__ import annotations

from pathlib import Path

import pytest

from devbox.container.spec import apparmor
from devbox.errors import HostError, NotFoundError
from devbox.model.container import ContainerConfig


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with AppArmor and a program that compiles profiles; the list of those it has loaded."""
    profiles = tmp_path / "profiles"
    profiles.write_text("/usr/bin/man (enforce)\nmine (complain)\n")
    (tmp_path / "enabled").write_text("Y\n")
    parser = tmp_path / "apparmor_parser"
    parser.write_text(
        '#!/bin/sh\ngrep -q "^profile devbox-default " && echo "devbox-default (enforce)" >>profiles\n'
    )
    parser.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(apparmor, "_KERNEL", str(tmp_path))
    monkeypatch.setattr(apparmor, "_ENABLED", str(tmp_path / "enabled"))
    monkeypatch.setattr(apparmor, "_PARSER", "../" * 9 + str(parser))  # found from any directory
    return profiles


def config(*options: str, privileged: bool = False) -> ContainerConfig:
    return ContainerConfig(security_opt=options, privileged=privileged)


def test_the_default_is_loaded_once(kernel: Path) -> None:
    for _ in range(2):
        assert apparmor.ready(config()) == "devbox-default"
    assert kernel.read_text().count("devbox-default") == 1


@pytest.mark.parametrize("without", [config("apparmor=unconfined"), config(privileged=True)])
def test_some_have_none(kernel: Path, without: ContainerConfig) -> None:
    assert apparmor.ready(without) == "unconfined"
    assert "devbox" not in kernel.read_text()


def test_one_by_name_even_of_a_privileged_container(kernel: Path) -> None:
    assert apparmor.ready(config("apparmor=mine", privileged=True)) == "mine"


def test_one_that_is_not_loaded_is_refused(kernel: Path) -> None:
    with pytest.raises(NotFoundError, match="no AppArmor profile 'other' is loaded"):
        apparmor.ready(config("apparmor=other"))


def test_one_that_cannot_be_loaded_is_an_error(kernel: Path) -> None:
    (kernel.parent / "apparmor_parser").write_text("#!/bin/sh\necho it is broken\nexit 1\n")
    with pytest.raises(HostError, match="it is broken"):
        apparmor.ready(config())


def test_without_the_program_there_is_no_default(kernel: Path) -> None:
    (kernel.parent / "apparmor_parser").unlink()
    assert apparmor.ready(config()) == ""


def test_a_kernel_without_it(kernel: Path) -> None:
    (kernel.parent / "enabled").write_text("N\n")
    for one in (config(), config(privileged=True), config("apparmor=unconfined")):
        assert apparmor.ready(one) == ""
    with pytest.raises(HostError, match="has no AppArmor"):
        apparmor.ready(config("apparmor=mine"))
