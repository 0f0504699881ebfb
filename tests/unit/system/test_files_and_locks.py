from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devbox.system import procfs
from devbox.system.files import remove_tree, write_atomic
from devbox.system.locks import locked, try_lock


def test_an_atomic_write_replaces_and_leaves_no_other_file(tmp_path: Path) -> None:
    target = tmp_path / "hosts"
    target.write_text("old")
    write_atomic(str(target), b"new", mode=0o644)
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["hosts"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "hosts"
    target.write_text("old")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(str(target), b"new")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["hosts"]


def test_removing_a_tree_does_not_follow_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("keep")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    remove_tree(str(tree))
    remove_tree(str(tree))
    assert (outside / "file").read_text() == "keep"


def test_a_lock_excludes_and_dies_with_its_process(tmp_path: Path) -> None:
    path = str(tmp_path / "locks" / "one")
    script = (
        "import sys, time; from devbox.system.locks import locked\n"
        "with locked(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        assert try_lock(path) is None
        child.send_signal(signal.SIGKILL)
        child.wait()
    with locked(path):
        assert try_lock(path) is None


def test_life_is_told_by_pid_and_start_time() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        started = procfs.start_time(child.pid)
        assert procfs.alive(child.pid, started)
        assert not procfs.alive(child.pid, started - 1)
        assert not procfs.send_signal(child.pid, started - 1, signal.SIGKILL)
        assert procfs.send_signal(child.pid, started, signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not procfs.alive(child.pid, started), "a process that nobody has reaped yet is dead"


def test_a_tree_deeper_than_any_path_is_deleted(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 20, dir_fd=fd)
        below = os.open("d" * 20, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    remove_tree(str(top))
    assert not top.exists()


def test_a_child_may_have_a_smaller_pid_than_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getsid(0)
    relations = [(4, 1, own), (5, 7, own), (7, 9, own), (9, 1, own), (12, 5, 12)]
    monkeypatch.setattr(procfs, "_relations", lambda: relations)
    assert procfs.descendants(9) == [5, 7, 9, 12]
