"""Archives in and out of a tree; as root, because device nodes, owners and trusted xattrs need it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import struct
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devbox.errors import RefusedError
from devbox.image.tar.limits import Limits
from devbox.image.tar.pack import pack
from devbox.image.tar.source import Source
from devbox.image.tar.unpack import Policy, Unpacked, extract

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="device nodes and owners need root")

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, data: bytes = b"", **fields: object) -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Member:
    return member(name, type=kind, linkname=target)


def archive(*members: Member) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def unpack(data: bytes, root: Path, *, limits: Limits | None = None, policy: Policy | None = None) -> Unpacked:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            bounds = limits or Limits()
            return extract(Source(file.fileno(), limit=bounds.size), fd, limits=bounds, policy=policy or Policy())
        finally:
            os.close(fd)


def packed(root: Path) -> bytes:
    chunks: list[bytes] = []
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        pack(fd, chunks.append)
    finally:
        os.close(fd)
    return b"".join(chunks)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o750)
    (outside / "file").write_text("untouched")
    before = outside.stat(), (outside / "file").stat()
    yield outside
    assert os.listdir(outside) == ["file"]
    assert (outside / "file").read_text() == "untouched"
    assert (outside.stat(), (outside / "file").stat()) == before


HOSTILE: dict[str, Callable[[str], tuple[Member, ...]]] = {
    "dots": lambda out: (member("../outside/file", b"x"),),
    "inner dots": lambda out: (member("a/../../outside/file", b"x"),),
    "absolute": lambda out: (member(f"{out}/file", b"x"),),
    "through an absolute link": lambda out: (link("l", out), member("l/file", b"x")),
    "through a relative link": lambda out: (link("l", "../outside"), member("l/file", b"x")),
    "through a chain": lambda out: (link("a", ".."), link("b", "a/outside"), member("b/file", b"x")),
    "onto a link": lambda out: (link("l", f"{out}/file"), member("l", b"x")),
    "a directory onto a link": lambda out: (link("l", out), member("l", type=tarfile.DIRTYPE, mode=0o777)),
    "a hard link out": lambda out: (link("h", f"{out}/file", tarfile.LNKTYPE), member("h", b"x")),
    "a hard link by dots": lambda out: (link("h", "../outside/file", tarfile.LNKTYPE), member("h", b"x")),
    "a hard link through a link": lambda out: (link("l", out), link("h", "l/file", tarfile.LNKTYPE)),
    "a hard link to a link, then a write": lambda out: (
        link("l", f"{out}/file"),
        link("h", "l", tarfile.LNKTYPE),
        member("h", b"x"),
    ),
    "the top is a link": lambda out: (link(".", out), member("file", b"x")),
    "a deletion through a link": lambda out: (link("l", out), member("l/.wh.file")),
    "an opaque mark through a link": lambda out: (link("l", out), member("l/.wh..wh..opq")),
    "a deletion of dots": lambda out: (member(".wh..."),),
    "a directory's mode through a link that replaces it": lambda out: (
        member("d", type=tarfile.DIRTYPE, mode=0o777),
        link("d", out),
    ),
    "a parent that becomes a link": lambda out: (
        member("d/e/first", b"x"),
        link("d/e", out),
        member("d/e/file", b"x"),
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_outside_is_touched(case: str, root: Path, canary: Path) -> None:
    data = archive(*HOSTILE[case](str(canary)))
    with contextlib.suppress(RefusedError):
        unpack(data, root)


def test_contents_and_attributes_arrive_exactly(root: Path) -> None:
    unpack(
        archive(
            member("bin", type=tarfile.DIRTYPE, mode=0o755),
            member("bin/su", b"program", mode=0o4755, uid=7, gid=8, mtime=1234567890.123456789),
            member("tmp", type=tarfile.DIRTYPE, mode=0o1777),
            link("bin/alias", "su"),
            link("bin/hard", "bin/su", tarfile.LNKTYPE),
            member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
            member("pipe", type=tarfile.FIFOTYPE, mode=0o600),
            member("caf\udce9", b"latin"),
        ),
        root,
    )
    su = (root / "bin/su").stat()
    assert (stat.S_IMODE(su.st_mode), su.st_uid, su.st_gid, su.st_nlink) == (0o4755, 7, 8, 2)
    assert stat.S_IMODE((root / "tmp").stat().st_mode) == 0o1777
    assert os.readlink(root / "bin/alias") == "su"
    assert (root / "null").stat().st_rdev == os.makedev(1, 3)
    assert stat.S_ISFIFO((root / "pipe").stat().st_mode)
    assert Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")).read_bytes() == b"latin"


def test_deletions_become_overlay_marks_and_come_back(root: Path) -> None:
    unpack(archive(member("a/.wh.gone"), member("b/.wh..wh..opq"), member("b/new", b"x")), root)
    gone = (root / "a/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    assert os.getxattr(root / "b", "trusted.overlay.opaque") == b"y"
    with tarfile.open(fileobj=io.BytesIO(packed(root))) as tar:
        assert {"a/.wh.gone", "b/.wh..wh..opq", "b/new"} <= set(tar.getnames())


@pytest.mark.parametrize("mark", ["trusted.overlay.opaque", "user.overlay.opaque"])
@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.REGTYPE])
def test_an_archive_cannot_bring_its_own_overlay_marks(root: Path, mark: str, kind: bytes) -> None:
    headers = {f"SCHILY.xattr.{mark}": "y", "SCHILY.xattr.user.kept": "yes"}
    unpack(archive(member("d", type=kind, mode=0o755, pax_headers=headers)), root)
    assert os.listxattr(root / "d") == ["user.kept"]
    os.setxattr(root / "d", mark, b"y")
    with tarfile.open(fileobj=io.BytesIO(packed(root))) as tar:
        assert f"SCHILY.xattr.{mark}" not in tar.getmember("d").pax_headers


@pytest.mark.parametrize(
    ("members", "limits"),
    [
        ([member(f"f{i}") for i in range(11)], Limits(entries=10)),
        ([member("big", b"x" * 100_000)], Limits(size=50_000)),
        ([member("f", pax_headers={"comment": "x" * (1 << 20)})], Limits()),
        ([member("a/" * 3000 + "f")], Limits()),
    ],
)
def test_bombs_stop_at_a_limit(members: list[Member], limits: Limits, root: Path) -> None:
    with pytest.raises(RefusedError):
        unpack(archive(*members), root, limits=limits)


@pytest.mark.parametrize("cut", [1, 511, 513, 700, 1500])
def test_a_cut_archive_is_refused(cut: int, root: Path) -> None:
    with pytest.raises(RefusedError):
        unpack(archive(member("f", b"x" * 2000))[:cut], root)


def test_noise_is_refused(root: Path) -> None:
    with pytest.raises(RefusedError):
        unpack(os.urandom(4096), root)


def test_a_capability_and_other_attributes_survive_a_round_trip(root: Path, tmp_path: Path) -> None:
    capability = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)  # net_bind_service, effective
    attributes = {"security.capability": capability.decode("latin-1"), "user.note": "kept", "trusted.mine": "too"}
    headers = {f"SCHILY.xattr.{name}": value for name, value in attributes.items()}
    unpack(archive(member("ping", b"program", mode=0o755, uid=7, gid=8, pax_headers=headers)), root)
    (tmp_path / "copy").mkdir()
    unpack(packed(root), tmp_path / "copy")
    for tree in (root, tmp_path / "copy"):
        found = {name: os.getxattr(tree / "ping", name).decode("latin-1") for name in os.listxattr(tree / "ping")}
        assert found == attributes
        assert (tree / "ping").stat().st_uid == 7


def test_the_same_tree_always_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    for name in ("z", "a", "m/n"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)
    os.link(root / "a", root / "m/hard")
    first = packed(root)
    (tmp_path / "copy").mkdir()
    unpack(first, tmp_path / "copy")
    assert hashlib.sha256(packed(tmp_path / "copy")).digest() == hashlib.sha256(first).digest()


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..") and not name.startswith(".wh.") and len(name.encode()) < 250
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, st.tuples(st.binary(max_size=2000), st.integers(0, 0o7777)), max_size=6))
def test_any_tree_survives_the_round_trip(files: dict[str, tuple[bytes, int]]) -> None:
    with tempfile.TemporaryDirectory() as top:
        one, two = Path(top, "one"), Path(top, "two")
        one.mkdir()
        two.mkdir()
        for name, (data, mode) in files.items():
            (one / name).write_bytes(data)
            os.chmod(one / name, mode)
        unpack(packed(one), two)
        assert sorted(os.listdir(two)) == sorted(os.listdir(one))
        for name, (data, mode) in files.items():
            assert (two / name).read_bytes() == data
            assert stat.S_IMODE((two / name).stat().st_mode) == mode
            assert (two / name).stat().st_mtime_ns == (one / name).stat().st_mtime_ns
