"""Shares with a fake vagrant and a fake ssh: when they are mounted, let go of, and what of them is remembered."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import paramiko
import pytest

from devbox.errors import HostError, NotFoundError, StateError
from devbox.machine import places, records, settings_parse, sharekinds, shares
from devbox.machine import shared as shared_record
from devbox.machine.drivers.vagrant_driver import VagrantDriver
from devbox.machine.settings import MachineSettings
from devbox.machine.translation.mountmap import Share
from tests.unit.machine.conftest import Machine

Keys = tuple[paramiko.PKey, paramiko.PKey]
FAKE_SSH = """#!/usr/bin/python3 -I
import os, sys
home = os.environ["FAKE_VAGRANT"]
with open(home + "/calls", "a") as file:
    file.write("ssh " + sys.argv[-1].replace("\\n", " ") + "\\n")
if os.path.exists(home + "/ssh") and "umount" in sys.argv[-1]:
    sys.exit("umount: /x: target is busy.")
if os.path.exists(home + "/gone"):
    sys.exit(1)
"""


class Shared(NamedTuple):
    machine: Machine
    driver: VagrantDriver
    src: Path

    def verbs(self) -> list[str]:
        """What was called: vagrant's commands, and through ssh mount or umount."""
        return [_verb(call) for call in self.machine.calls]


def _verb(call: str) -> str:
    word = call.split()[0]
    if word != "ssh":
        return word
    return "umount" if "umount" in call else "mount"


@pytest.fixture
def shared(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shared:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "ssh").write_text(FAKE_SSH)
    (programs / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    src = tmp_path / "my src"
    src.mkdir()
    (tmp_path / "link").symlink_to(src)
    settings = MachineSettings("work", "libvirt", box="some/box", shares=(Share(str(tmp_path / "link"), "/code"),))
    return Shared(machine, VagrantDriver(places.machine("work"), settings), src)


def up(shared: Shared, keys: Keys) -> None:
    with shared.machine.server(keys[0]):
        shared.driver.up(shared.machine.report)


def test_up_mounts_them_and_remembers_what_is_mounted(shared: Shared, keys: Keys) -> None:
    up(shared, keys)
    place = places.machine("work")
    (described,) = json.loads(Path(place.description).read_text())["shares"]
    tag = hashlib.md5(str(shared.src).encode()).hexdigest()[:31]
    assert described == {"host": str(shared.src), "guest": "/code", "kind": "9p", "tag": tag}
    assert shared.verbs() == ["up", "ssh-config", "mount"]
    assert f"{tag} /code" in shared.machine.calls[-1]
    assert shared.machine.phases()[-1] == "shares"
    assert shared_record.mounted(place).to_guest(f"{shared.src}/a b") == "/code/a b"


def test_for_a_snapshot_they_are_let_go_and_come_back(shared: Shared, keys: Keys) -> None:
    with shared.machine.server(keys[0]):
        shared.driver.up(shared.machine.report)
        shared.driver.snapshot_save("one")
        shared.driver.snapshot_restore("one")
    assert shared.verbs()[3:] == ["umount", "snapshot", "mount"] * 2


def test_a_machine_that_is_off_has_nothing_mounted(shared: Shared, keys: Keys) -> None:
    up(shared, keys)
    shared.driver.snapshot_save("one")
    assert shared.verbs()[3:] == ["snapshot"]


def test_what_is_in_use_allows_no_snapshot(shared: Shared, keys: Keys) -> None:
    with shared.machine.server(keys[0]):
        shared.driver.up(shared.machine.report)
        (shared.machine.fake / "ssh").touch()
        with pytest.raises(StateError, match="in use: umount: /x: target is busy"):
            shared.driver.snapshot_save("one")
    assert shared.verbs()[3:] == ["umount", "mount"]


def test_a_snapshot_that_fails_leaves_them_mounted(shared: Shared, keys: Keys) -> None:
    (shared.machine.fake / "snapshot").write_text("fail no space\n")
    with shared.machine.server(keys[0]):
        shared.driver.up(shared.machine.report)
        with pytest.raises(HostError, match="no space"):
            shared.driver.snapshot_save("one")
    assert shared.verbs()[3:] == ["umount", "snapshot", "mount"]


def test_destroy_goes_on_when_they_cannot_be_let_go(shared: Shared, keys: Keys) -> None:
    (shared.machine.fake / "ssh").touch()
    with shared.machine.server(keys[0]):
        shared.driver.up(shared.machine.report)
        shared.driver.destroy(shared.machine.report)
    assert shared.verbs()[-3:] == ["umount", "mount", "destroy"]
    assert shared_record.mounted(places.machine("work")).shares == ()
    assert shared.src.is_dir()


def test_a_connection_sees_to_it_that_they_are_mounted(shared: Shared, keys: Keys) -> None:
    up(shared, keys)
    place = places.machine("work")
    endpoint = shared.driver.endpoint()
    shares.remount(place, endpoint)
    assert shared.verbs()[3:] == ["mount"]
    mounted_by_vagrant = [share._replace(kind="virtualbox").document() for share in shared_record.recorded(place)]
    records.write_json(place.shares, {"shares": mounted_by_vagrant})
    shares.remount(place, endpoint)
    (shared.machine.fake / "gone").touch()
    with pytest.raises(HostError, match="are not mounted in it any more"):
        shares.remount(place, endpoint)


def test_a_directory_that_is_not_there_stops_before_anything_starts(shared: Shared, keys: Keys) -> None:
    shared.src.rmdir()
    with pytest.raises(NotFoundError, match="cannot be shared with machine 'work'"):
        shared.driver.up(shared.machine.report)
    assert not (shared.machine.fake / "calls").exists()


def test_two_links_to_one_directory_overlap(shared: Shared, tmp_path: Path) -> None:
    both = (Share(str(tmp_path / "link"), "/a"), Share(str(shared.src), "/b"))
    with pytest.raises(Exception, match="shared twice"):
        shares.plan(MachineSettings("work", "libvirt", shares=both))


@pytest.mark.parametrize(
    ("provider", "platform", "wanted", "kind"),
    [
        ("libvirt", "linux", "auto", "9p"),
        ("libvirt", "linux", "virtiofs", "virtiofs"),
        ("libvirt", "linux", "nfs", "nfs"),
        ("virtualbox", "win32", "auto", "virtualbox"),
        ("virtualbox", "darwin", "nfs", "nfs"),
        ("virtualbox", "win32", "smb", "smb"),
        ("qemu", "darwin", "auto", "9p"),
        ("qemu", "win32", "rsync", "rsync"),
        ("parallels", "darwin", "auto", "parallels"),
        ("vmware_desktop", "win32", "auto", "vmware"),
        ("hyperv", "win32", "auto", "smb"),
    ],
)
def test_the_kind_that_is_asked_for_or_the_best(provider: str, platform: str, wanted: str, kind: str) -> None:
    found = sharekinds.chosen(MachineSettings("x", provider, share_kind=wanted), platform)
    assert found.name == kind
    assert found.why


@pytest.mark.parametrize(
    ("provider", "platform", "wanted", "has"),
    [
        ("qemu", "win32", "auto", "rsync"),  # a copy is never chosen by itself
        ("virtualbox", "linux", "9p", "virtualbox, nfs, rsync"),
        ("virtualbox", "win32", "nfs", "virtualbox, smb, rsync"),
        ("libvirt", "linux", "smb", "9p, virtiofs, nfs, rsync"),
        ("hyperv", "linux", "auto", "rsync"),
    ],
)
def test_a_kind_that_provider_or_host_lack_is_refused(provider: str, platform: str, wanted: str, has: str) -> None:
    with pytest.raises(HostError, match="share no directories") as caught:
        sharekinds.chosen(MachineSettings("x", provider, share_kind=wanted), platform)
    assert caught.value.hint == f"they have {has}"


def test_an_unprivileged_libvirt_has_what_qemu_does_by_itself() -> None:
    wish = MachineSettings("x", "libvirt", connection="session", share_kind="virtiofs")
    with pytest.raises(HostError, match="as virtiofs"):
        sharekinds.chosen(wish, "linux")


def test_every_kind_of_the_settings_is_somebodys() -> None:
    assert set(settings_parse.SHARE_KINDS) == set(sharekinds.NAMES)


def test_a_record_of_another_version_counts_as_none(tmp_path: Path, machine: Machine) -> None:
    place = places.machine("work")
    os.makedirs(place.directory)
    Path(place.shares).write_text('{"shares": [{"host": "/a"}]}')
    assert shared_record.mounted(place).shares == ()
