"""Compressed streams: whole, in pieces, damaged, and left early."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from devbox.errors import RefusedError
from devbox.image.decompress import decompressed, kind_of
from devbox.image.tar.source import Slice

DATA = os.urandom(300_000) + bytes(3_000_000)


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": zstd,
}
KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(not shutil.which(kind), reason="the program is missing"))
    for kind in COMPRESS
]


def read(path: Path, data: bytes, *, most: int = 1 << 30) -> bytes:
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        with decompressed(Slice(fd, 0, len(data)), kind_of(data[:6])) as stream:
            out = b""
            while len(out) < most and (piece := os.read(stream, 1 << 16)):
                out += piece
        return out
    finally:
        os.close(fd)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_compressed_comes_back(kind: str, tmp_path: Path) -> None:
    assert kind_of(COMPRESS[kind](b"x")[:6]) == kind
    assert read(tmp_path / "x", COMPRESS[kind](DATA)) == DATA


@pytest.mark.parametrize("kind", KINDS)
def test_several_members_are_one_stream(kind: str, tmp_path: Path) -> None:
    pieces = (DATA[:1000], b"", DATA[1000:])
    assert read(tmp_path / "x", b"".join(map(COMPRESS[kind], pieces))) == DATA


def test_zeros_after_gzip_are_padding(tmp_path: Path) -> None:
    assert read(tmp_path / "x", gzip.compress(b"data") + bytes(2_000_000)) == b"data"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["cut", "garbage", "flipped"])
def test_damage_is_told(kind: str, damage: str, tmp_path: Path) -> None:
    if (kind, damage) == ("bzip2", "garbage"):
        pytest.skip("bzip2 passes over it; the digest of the blob does not")
    data = bytearray(COMPRESS[kind](DATA))
    if damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "garbage":
        data += b"garbage that is no member of anything"
    else:
        data[len(data) // 2] ^= 0x55
    with pytest.raises(RefusedError, match="damaged"):
        read(tmp_path / "x", bytes(data))


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_may_leave_early(kind: str, tmp_path: Path) -> None:
    assert len(read(tmp_path / "x", COMPRESS[kind](DATA * 3), most=1000)) >= 1000


def test_a_reader_that_fails_is_not_hidden(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(DATA))
    fd = os.open(path, os.O_RDONLY)
    try:
        with pytest.raises(RefusedError, match="of its own"), decompressed(Slice(fd, 0, 1 << 30), "gzip"):
            raise RefusedError("a reason of its own")
    finally:
        os.close(fd)


def test_nothing_is_compressed_by_accident() -> None:
    assert kind_of(b"") == kind_of(b"PK\3\4") == kind_of(b"ustar ") == ""
