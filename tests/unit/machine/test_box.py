"""Box files are checked before Vagrant sees them."""

from __future__ import annotations

import io
import struct
import tarfile
from pathlib import Path

import pytest

from devbox.errors import NotFoundError, RefusedError
from devbox.machine import box


def image(backing: int = 0, incompatible: int = 0) -> bytes:
    return (
        (b"QFI\xfb" + struct.pack(">IQ", 3, backing)).ljust(72, b"\0")
        + struct.pack(">Q", incompatible)
        + bytes(64)
    )


def make(path: Path, content: bytes) -> str:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("./box.img")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return str(path)


def test_a_sound_box_is_known_by_its_content(tmp_path: Path) -> None:
    path = make(tmp_path / "a.box", image())
    digest = box.check(path, "")
    assert box.check(path, digest) == digest
    with pytest.raises(RefusedError, match="is not the box"):
        box.check(path, "0" * 64)


@pytest.mark.parametrize(
    ("content", "why"), [(image(backing=8), "backing"), (image(incompatible=4), "another file")]
)
def test_an_image_that_leads_elsewhere_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(RefusedError, match=why):
        box.check(make(tmp_path / "a.box", content), "")


def test_what_is_no_box_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.box").write_text("hello")
    with pytest.raises(RefusedError, match="no box"):
        box.check(str(tmp_path / "a.box"), "")
    with pytest.raises(NotFoundError):
        box.check(str(tmp_path / "b.box"), "")
