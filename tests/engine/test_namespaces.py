from __future__ import annotations

import os
from pathlib import Path

import pytest

from devbox.system.namespaces import mounts_of, private_mounts, unmount_below
from devbox.system.procfs import mount_of
from devbox.system.syscalls import MNT_DETACH, RESOLVE_IN_ROOT, mount, openat2, umount

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def test_what_is_mounted_in_private_is_never_seen_outside(tmp_path: Path) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    with private_mounts():
        mount("tmpfs", str(tmp_path), "tmpfs")
        (tmp_path / "inside").touch()
        assert os.listdir(tmp_path) == ["inside"]
    assert os.listdir(tmp_path) == []
    assert Path("/proc/self/mountinfo").read_text() == before


def test_a_mount_point_may_have_any_name(tmp_path: Path) -> None:
    place = os.path.join(tmp_path, os.fsdecode(b"a b\\040\xff\r\xe2\x80\xa8\nc"))
    with private_mounts():
        os.mkdir(place)
        mount("tmpfs", place, "tmpfs")
        os.mkdir(f"{place}/below")
        assert mount_of(f"{place}/below") == (place, "tmpfs", False)
        assert mount_of(str(tmp_path)).path != place
        unmount_below(str(tmp_path))
        assert os.listdir(place) == []


def test_the_caller_is_back_where_it_was_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = os.readlink("/proc/self/ns/mnt")
    with pytest.raises(KeyError), private_mounts():
        os.chdir("/")
        raise KeyError
    assert os.getcwd() == str(tmp_path)
    assert os.readlink("/proc/self/ns/mnt") == home


def test_a_child_keeps_the_namespace_and_it_can_be_entered(tmp_path: Path) -> None:
    from devbox.system import process

    with private_mounts():
        mount("tmpfs", str(tmp_path), "tmpfs")
        (tmp_path / "inside").touch()
        child = process.spawn(["sleep", "60"])
    try:
        with mounts_of(child):
            assert os.listdir(tmp_path) == ["inside"]
        assert os.listdir(tmp_path) == []
    finally:
        os.kill(child, 9)
        process.wait(child)


def test_overlay_options_are_relative_to_the_working_directory(tmp_path: Path) -> None:
    for name in ("1/diff", "2/diff", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "1/diff/low").write_text("low")
    (tmp_path / "2/diff/high").write_text("high")
    with private_mounts():
        mount("tmpfs", str(tmp_path / "upper"), "tmpfs")
        (tmp_path / "upper/diff").mkdir()
        (tmp_path / "upper/work").mkdir()
        os.chdir(tmp_path)
        options = "lowerdir=2/diff:1/diff,upperdir=upper/diff,workdir=upper/work"
        mount("overlay", str(tmp_path / "merged"), "overlay", 0, options)
        assert sorted(os.listdir(tmp_path / "merged")) == ["high", "low"]
        umount(str(tmp_path / "merged"), MNT_DETACH)


def test_a_link_out_of_the_root_stays_inside_with_openat2(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("inside")
    (tmp_path / "link").symlink_to("/etc/passwd")
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        with os.fdopen(openat2(root, "link", os.O_RDONLY, RESOLVE_IN_ROOT)) as file:
            assert file.read() == "inside"
    finally:
        os.close(root)


def test_a_failing_mount_names_its_target(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing") as caught:
        mount("tmpfs", str(tmp_path / "missing"), "tmpfs")
    assert caught.value.filename == str(tmp_path / "missing")
