from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbox.system import walk


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    canary = tmp_path / "outside"
    canary.mkdir()
    (canary / "file").write_text("untouched")
    return canary


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root").mkdir()
    fd = walk.open_root(str(tmp_path / "root"))
    yield fd
    os.close(fd)


@pytest.mark.parametrize("way_out", ["../../outside", "../../../../../../../../outside"])
def test_a_relative_link_out_ends_at_the_top_of_the_tree(root: int, outside: Path, way_out: str) -> None:
    os.symlink(way_out, "link", dir_fd=root)
    with pytest.raises(FileNotFoundError):
        walk.open_in_root(root, "link/file", os.O_RDONLY)
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        walk.open_beneath(root, "link/file", os.O_RDONLY)


def test_an_absolute_link_is_read_from_the_top_of_the_tree(root: int, outside: Path) -> None:
    os.symlink(outside, "link", dir_fd=root)
    with pytest.raises(FileNotFoundError):
        walk.open_in_root(root, "link/file", os.O_RDONLY)


def test_dots_and_absolute_names_lead_nowhere_else(root: int, outside: Path) -> None:
    with pytest.raises(FileNotFoundError):
        walk.open_in_root(root, "../outside/file", os.O_RDONLY)
    with pytest.raises(OSError, match=os.strerror(errno.EXDEV)):
        walk.open_beneath(root, "../outside/file", os.O_RDONLY)
    with pytest.raises(OSError, match=os.strerror(errno.EXDEV)):
        walk.open_beneath(root, str(outside / "file"), os.O_RDONLY)


def test_magic_links_of_proc_are_not_followed(root: int) -> None:
    slash = walk.open_root("/")
    with walk.opened(slash), pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        walk.open_in_root(slash, f"proc/self/fd/{root}/x", os.O_RDONLY)


def test_directories_are_made_inside_even_through_a_hostile_link(root: int, outside: Path) -> None:
    os.mkdir("real", dir_fd=root)
    os.symlink("/real", "inside", dir_fd=root)
    os.symlink(outside, "hostile", dir_fd=root)
    with walk.opened(walk.make_directories(root, "inside/a/b")):
        assert os.path.isdir(walk.inner_path(root, "real/a/b"))
    with pytest.raises(FileNotFoundError):
        walk.make_directories(root, "hostile/a")
    with walk.opened(walk.make_directories(root, "../../up")):
        assert os.listdir(root) != []
    assert os.listdir(outside) == ["file"]
    assert not (outside.parent / "up").exists()


def test_removing_follows_no_link(root: int, outside: Path) -> None:
    os.mkdir("tree", dir_fd=root)
    os.symlink(outside, "tree/link", dir_fd=root)
    os.symlink(outside, "link", dir_fd=root)
    for name in ("tree", "link", "absent"):
        walk.remove_at(root, name)
    assert os.listdir(root) == []
    assert (outside / "file").read_text() == "untouched"


def test_a_tree_deeper_than_a_path_can_name_is_removed(root: int) -> None:
    fd = os.dup(root)
    for _ in range(2500):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    walk.remove_at(root, "d")
    assert os.listdir(root) == []


def test_names_need_not_be_utf8(root: int) -> None:
    with walk.opened(walk.make_directories(root, b"caf\xe9/\xff")):
        pass
    walk.remove_at(root, b"caf\xe9")
    assert os.listdir(root) == []


def test_a_directory_that_becomes_a_link_while_it_is_removed_is_not_entered(
    root: int, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.makedirs(walk.inner_path(root, b"top/below"))
    scan = walk._entries

    def swapped(fd: int) -> list[os.DirEntry[str]]:
        found = scan(fd)
        if [entry.name for entry in found] == ["below"]:
            os.rmdir("below", dir_fd=fd)
            os.symlink(outside, "below", dir_fd=fd)
        return found

    monkeypatch.setattr(walk, "_entries", swapped)
    with pytest.raises(NotADirectoryError):
        walk.remove_at(root, "top")
    assert (outside / "file").read_text() == "untouched"


def test_a_file_that_comes_after_we_have_looked_goes_too(root: int, monkeypatch: pytest.MonkeyPatch) -> None:
    os.makedirs(walk.inner_path(root, b"top/below"))
    late = iter(range(3))
    remove = os.rmdir

    def rmdir(name: bytes | str, *, dir_fd: int) -> None:
        if next(late, None) is not None:
            os.close(os.open(os.fsencode(name) + b"/late", os.O_CREAT | os.O_WRONLY, dir_fd=dir_fd))
        remove(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", rmdir)
    walk.remove_at(root, "top")
    assert not os.listdir(root)
