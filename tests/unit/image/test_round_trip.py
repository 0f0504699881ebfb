from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devbox.errors import StoreError
from devbox.image import save
from devbox.image.tar.pack import Choice, pack, pack_at
from devbox.image.tar.unpack import Policy
from devbox.system.walk import open_root, opened

OWN = (os.getuid(), os.getgid())
MINE = Policy(whiteouts=False, owner=OWN)

names = st.binary(min_size=1, max_size=140).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..") and b".wh." not in name
)
files = st.tuples(
    st.sampled_from(["file", "directory", "link", "fifo"]),
    st.integers(0, 0o7777),
    st.integers(-(2**31), 2**33),
    st.integers(0, 999_999_999),
    st.binary(min_size=1, max_size=1500),
)
trees = st.recursive(
    st.dictionaries(names, files, max_size=5),
    lambda inner: st.dictionaries(names, st.one_of(files, inner), max_size=4),
    max_leaves=8,
)


def plant(parent: int, tree: dict[bytes, Any]) -> None:
    for name, value in tree.items():
        if isinstance(value, dict):
            os.mkdir(name, 0o755, dir_fd=parent)
            with opened(os.open(name, os.O_RDONLY, dir_fd=parent)) as fd:
                plant(fd, value)
            continue
        kind, mode, seconds, nanoseconds, data = value
        if kind == "link":
            os.symlink(data.replace(b"\0", b"n"), name, dir_fd=parent)
        elif kind == "directory":
            os.mkdir(name, dir_fd=parent)
        elif kind == "fifo":
            os.mkfifo(name, dir_fd=parent)
        else:
            with opened(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=parent)) as fd:
                os.write(fd, data)
        time = seconds * 1_000_000_000 + nanoseconds
        if kind != "link":
            os.chmod(name, mode | 0o400, dir_fd=parent)
        os.utime(name, ns=(time, time), dir_fd=parent, follow_symlinks=False)


def packed(root: int, **choice: Any) -> bytes:
    out = io.BytesIO()
    result = pack(root, out.write, choice=Choice(**choice))
    assert result.length == len(out.getvalue())
    return out.getvalue()


@given(tree=trees)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_survives_packing_and_unpacking(new_place: Callable[[], Any], tree: dict[bytes, Any]) -> None:
    first, second = new_place(), new_place()
    plant(first.fd, tree)
    stream = packed(first.fd)
    second.unpack(stream, policy=MINE)
    assert packed(second.fd) == stream
    with tarfile.open(fileobj=io.BytesIO(stream), errors="surrogateescape") as archive:
        for info in archive.getmembers():
            there = os.stat(os.fsencode(info.name), dir_fd=second.fd, follow_symlinks=False)
            assert stat.S_IMODE(there.st_mode) == info.mode


def test_counting_needs_no_data(place: Any, tar: Any, member: Any) -> None:
    place.unpack(tar(member("a", b"x" * 1000), member("b" * 120, b"y")), policy=MINE)
    with opened(open_root(place.path)) as root:
        counted = pack(root, lambda _: None, choice=Choice(data=False))
        assert counted.length == len(packed(root))
        assert counted.size == 1001


def test_hard_links_stay_one_file(new_place: Any, tar: Any, member: Any) -> None:
    first, second = new_place(), new_place()
    first.unpack(
        tar(member("z/a", b"one"), member("b", type=tarfile.LNKTYPE, linkname="z/a"), member("c", b"x")),
        policy=MINE,
    )
    second.unpack(packed(first.fd), policy=MINE)
    assert (second.path / "b").stat().st_ino == (second.path / "z/a").stat().st_ino
    assert (second.path / "b").stat().st_nlink == 2


def test_the_stream_is_stable(place: Any, tar: Any, member: Any) -> None:
    """A change of these bytes would change the identity of every image made here."""
    place.unpack(
        tar(
            member("d", type=tarfile.DIRTYPE, mode=0o1777, mtime=1),
            member("d/f", b"hello", mode=0o4755, mtime=1.5),
            member("l", type=tarfile.SYMTYPE, linkname="d/f", mtime=2),
        ),
        policy=MINE,
    )
    stream = packed(place.fd, owner=(0, 0))
    assert hashlib.sha256(stream).hexdigest() == DIGEST
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        assert archive.getnames() == ["d", "d/f", "l"]
        assert archive.getmember("d/f").mtime == 1.5


DIGEST = "530506b113d0b1220c8def6e7754f0dd22b57055f862bbffcdc55816f75651da"


def test_whiteouts_round_trip_as_names(new_place: Any, tar: Any, member: Any) -> None:
    first, second = new_place(), new_place()
    first.unpack(tar(member("d/.wh.gone"), member(".wh.top"), member("d/kept", b"x")))
    stream = packed(first.fd)
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        assert archive.getnames() == ["d", "d/.wh.gone", "d/kept", ".wh.top"]
    second.unpack(stream)
    assert packed(second.fd) == stream


@pytest.mark.parametrize(
    "flags",
    [
        ["--format=gnu"],
        ["--format=posix"],
        *(["--format=posix", f"--sparse-version={v}"] for v in ("0.0", "0.1", "1.0")),
    ],
)
def test_sparse_files_of_gnu_tar_are_read(tmp_path: Path, place: Any, flags: list[str]) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        for piece in range(40):
            file.seek(piece * 1_000_000)
            file.write(b"data %d" % piece)
        file.truncate(50_000_000)
    stream = subprocess.run(
        ["tar", "-C", tmp_path, "-cS", *flags, "sparse"], check=True, capture_output=True
    ).stdout
    assert len(stream) < 2_000_000
    place.unpack(stream, policy=MINE)
    assert (place.path / "sparse").read_bytes() == (tmp_path / "sparse").read_bytes()
    assert (place.path / "sparse").stat().st_blocks * 512 < 5_000_000


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_every_format_of_gnu_tar_is_read(tmp_path: Path, place: Any, form: str) -> None:
    tree = tmp_path / "tree"
    (tree / "directory").mkdir(parents=True)
    (tree / "directory/file").write_bytes(b"x" * 3000)
    (tree / "link").symlink_to("directory/file")
    if form not in ("v7", "ustar"):
        (tree / ("long" * 40)).write_bytes(b"y")
    stream = subprocess.run(
        ["tar", "-C", tree, f"--format={form}", "-c", "."], check=True, capture_output=True
    ).stdout
    place.unpack(stream, policy=MINE)
    with opened(open_root(str(tree))) as root:
        assert listed(packed(place.fd)) == listed(packed(root))


def listed(stream: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        return archive.getnames()


def test_one_member_can_be_packed_under_another_name(place: Any, tar: Any, member: Any) -> None:
    place.unpack(tar(member("d/e/f", b"x"), member("g", b"y")), policy=MINE)
    out = io.BytesIO()
    pack_at(place.fd, b"d", out.write, rename=b"other", choice=Choice(whiteouts=False))
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert archive.getnames() == ["other", "other/e", "other/e/f"]
    out = io.BytesIO()
    pack_at(place.fd, b"g", out.write, choice=Choice(whiteouts=False))
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert archive.getnames() == ["g"]


def test_an_archive_that_finds_no_room_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="could not compress"), save.output("/dev/full", "gzip") as write:
        for _ in range(100):
            write(os.urandom(1 << 16))
