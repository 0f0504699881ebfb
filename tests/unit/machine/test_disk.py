"""A machine's disk becomes larger on this host, and never smaller."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from devbox.errors import HostError, StateError
from devbox.machine import disk

pytestmark = pytest.mark.skipif(
    shutil.which("qemu-img") is None, reason="provision/debian.sh machine brings qemu-img"
)


def size(path: Path) -> int:
    line = ["qemu-img", "info", "--output", "json", str(path)]
    found: int = json.loads(subprocess.check_output(line))["virtual-size"]
    return found


def make(path: Path, gigabytes: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, f"{gigabytes}G"], check=True)
    return path


def description(place: Path, **changes: Any) -> dict[str, Any]:
    return {"provider": "libvirt", "session": True, "pool": str(place), "prefix": "devbox_x_", "disk": 3} | changes


def test_the_disk_of_libvirts_session_grows_to_what_is_wanted(tmp_path: Path) -> None:
    path = make(tmp_path / "devbox_x_default.img", 1)
    for _ in range(2):
        disk.enlarge(description(tmp_path), str(tmp_path))
        assert size(path) == 3 << 30
    with pytest.raises(StateError, match="has 3 GiB and cannot be made smaller") as caught:
        disk.enlarge(description(tmp_path, disk=2), str(tmp_path))
    assert caught.value.hint == 'write disk = "3g" to its settings'
    assert size(path) == 3 << 30


def test_the_disk_of_qemu_grows(tmp_path: Path) -> None:
    wish = description(tmp_path, provider="qemu")
    disk.enlarge(wish, str(tmp_path))  # there is none yet
    path = make(tmp_path / ".vagrant/machines/default/qemu/vq_x/linked-box.img", 1)
    disk.enlarge(wish, str(tmp_path))
    assert size(path) == 3 << 30


def test_a_disk_that_is_broken_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "devbox_x_default.img").write_bytes(b"QFI\xfbnonsense")
    with pytest.raises(HostError, match="cannot be made larger"):
        disk.enlarge(description(tmp_path), str(tmp_path))


def test_vagrant_changes_the_disks_of_others(tmp_path: Path) -> None:
    disk.enlarge(description(tmp_path, provider="virtualbox"), str(tmp_path))
