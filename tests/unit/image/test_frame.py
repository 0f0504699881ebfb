"""A frame and the tree give back the stream, byte for byte, whatever dialect it is in."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devbox.errors import StoreError
from devbox.image.tar import frame
from devbox.image.tar.limits import Limits
from devbox.image.tar.source import Slice
from devbox.image.tar.unpack import Policy, extract
from devbox.system.walk import open_root, opened

OWNER = None if os.getuid() == 0 else (os.getuid(), os.getgid())


def framed(data: bytes, place: Path) -> tuple[bytes, int, bool]:
    """What comes back of a stream, the length told beforehand, and whether the tree lost something."""
    tree = place / "tree"
    tree.mkdir()
    with tempfile.TemporaryFile() as file, opened(open_root(str(tree))) as root:
        file.write(data)
        file.flush()
        with frame.Writer(str(place / "frame")) as recorder:
            source = Slice(file.fileno(), 0, len(data), limit=1 << 30, recorder=recorder)
            taken = extract(source, root, limits=Limits(), policy=Policy(owner=OWNER))
        out: list[bytes] = []
        if not taken.replaced:
            frame.replay(str(place / "frame"), root, lambda piece: out.append(bytes(piece)))
        return b"".join(out), frame.length(str(place / "frame")), taken.replaced


Make = Callable[..., Any]
NAMES = st.sampled_from(["a", "b", "d/a", "d/e/f", "d/.wh.x", "long" * 40, "n\u00e4me"])
MEMBERS = st.lists(st.tuples(NAMES, st.sampled_from(["file", "dir", "link", "hard"]), st.binary(max_size=3000)))


@given(members=MEMBERS, form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_archive(members: list[tuple[str, str, bytes]], form: int) -> None:
    out = io.BytesIO()
    seen: set[str] = set()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8") as tar:
        for number, (name, kind, data) in enumerate(members):
            info = tarfile.TarInfo(f"{number % 3}/{name}")
            too_long = form == tarfile.USTAR_FORMAT and len(name) > 90
            if info.name in seen or (".wh." in name and kind != "file") or too_long:
                continue
            seen.add(info.name)
            info.mtime = number
            if kind == "dir":
                info.name, info.type = info.name + ".d", tarfile.DIRTYPE
            elif kind == "link":
                info.type, info.linkname = tarfile.SYMTYPE, "target"
            elif kind == "hard":
                info.size = 0
                info.name += ".none"
            else:
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    whole = out.getvalue()
    with tempfile.TemporaryDirectory() as place:
        back, length, replaced = framed(whole, Path(place))
    assert not replaced
    assert back == whole
    assert length == len(whole)


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7", "oldgnu"])
def test_what_gnu_tar_writes(form: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "d/f").write_bytes(b"x" * 700)
    (source / "empty").write_bytes(b"")
    os.link(source / "d/f", source / "hard")
    os.symlink("d/f", source / "soft")
    with open(source / "sparse", "wb") as file:
        file.truncate(1 << 20)
        file.seek(600_000)
        file.write(b"in the middle")
    sparse = [] if form in ("ustar", "v7") else ["-S"]
    argv = ["tar", f"--format={form}", *sparse, "-C", str(source), "-cf", "-", "."]
    data = subprocess.run(argv, capture_output=True, check=True).stdout
    back, length, _ = framed(data, tmp_path)
    assert back == data
    assert length == len(data)


def test_what_follows_the_end_is_kept(tmp_path: Path, tar: Make, member: Make) -> None:
    data = tar(member("a", b"1")) + b"\0" * 5000 + os.urandom(5000)
    assert framed(data, tmp_path)[0] == data


def test_a_replaced_file_is_told_of(tmp_path: Path, tar: Make, member: Make) -> None:
    assert framed(tar(member("a", b"old"), member("a", b"new")), tmp_path)[2]


def test_a_lost_file_is_told_of(tmp_path: Path, tar: Make, member: Make) -> None:
    framed(tar(member("a", b"1")), tmp_path)
    (tmp_path / "tree/a").unlink()
    with opened(open_root(str(tmp_path / "tree"))) as root, pytest.raises(StoreError, match="lost"):
        frame.replay(str(tmp_path / "frame"), root, lambda _: None)


@pytest.mark.parametrize("cut", [1, 10])
def test_a_cut_frame_is_told_of(cut: int, tmp_path: Path, tar: Make, member: Make) -> None:
    framed(tar(member("a", b"1" * 3000)), tmp_path)
    path = tmp_path / "frame"
    path.write_bytes(path.read_bytes()[:-cut])
    with opened(open_root(str(tmp_path / "tree"))) as root, pytest.raises(StoreError, match="damaged"):
        frame.replay(str(path), root, lambda _: None)
    with pytest.raises(StoreError, match="damaged"):
        frame.length(str(path))
