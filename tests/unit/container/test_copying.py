"""docker's rules of what is copied to where, between two directories that stand for a container and the host."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devbox.container.files import copying
from devbox.container.files.copying import Tree
from devbox.errors import ConflictError, DevboxError, NotFoundError, RefusedError
from devbox.system.walk import open_root, opened

Sides = tuple[Tree, Tree, Path, Path]


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    one, two = tmp_path / "one", tmp_path / "two"
    (one / "dir/sub").mkdir(parents=True)
    (one / "dir/a").write_text("a")
    (one / "dir/sub/b").write_text("b")
    (one / "file").write_text("file")
    (one / "tofile").symlink_to("file")
    (one / "todir").symlink_to("/dir")
    (one / "dangling").symlink_to("/nowhere")
    (two / "there").mkdir(parents=True)
    (two / "old").write_text("old")
    (two / "links").symlink_to("/there")
    (two / "tonew").symlink_to("there/new")
    with opened(open_root(str(one))) as source, opened(open_root(str(two))) as target:
        yield Tree(source, "in container x"), Tree(target, "on this host"), one, two


def cp(sides: Sides, source: str, target: str, *, follow: bool = False) -> None:
    with (
        copying.origin(sides[0], source, follow=follow) as origin,
        copying.target(sides[1], target) as there,
    ):
        copying.copy(origin, there, owner=(os.getuid(), os.getgid()), devices=False)


def tree(top: Path) -> dict[str, str]:
    found = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = "-> " + os.readlink(path)
        else:
            found[name] = "/" if path.is_dir() else path.read_text()
    return found


BEFORE = {"there": "/", "old": "old", "links": "-> /there", "tonew": "-> there/new"}
DIR = {"": "/", "/a": "a", "/sub": "/", "/sub/b": "b"}


def at(place: str, content: dict[str, str]) -> dict[str, str]:
    return {place + name: value for name, value in content.items() if place + name}


@pytest.mark.parametrize(
    ("source", "target", "added"),
    [
        ("/file", "/new", {"new": "file"}),
        ("file", "new", {"new": "file"}),
        ("/file", "/old", {"old": "file"}),
        ("/file", "/there", {"there/file": "file"}),
        ("/file", "/there/", {"there/file": "file"}),
        ("/file", "/links", {"there/file": "file"}),
        ("/file", "/links/x", {"there/x": "file"}),
        ("/file", "/tonew", {"there/new": "file"}),
        ("/dir", "/new", at("new", DIR)),
        ("/dir", "/new/", at("new", DIR)),
        ("/dir/", "/new", at("new", DIR)),
        ("/dir/.", "/new", at("new", DIR)),
        ("/dir", "/there", at("there/dir", DIR)),
        ("/dir/", "/there", at("there/dir", DIR)),
        ("/dir/.", "/there", {"there/a": "a", "there/sub": "/", "there/sub/b": "b"}),
        ("/dir/../dir", "/there/.", at("there/dir", DIR)),
        ("/dir", "/", at("dir", DIR)),
        ("/tofile", "/new", {"new": "-> file"}),
        ("/todir", "/there", {"there/todir": "-> /dir"}),
        ("/todir/", "/there", at("there/todir", DIR)),
        ("/todir/.", "/there", {"there/a": "a", "there/sub": "/", "there/sub/b": "b"}),
        ("/todir/a", "/new", {"new": "a"}),
        ("/dangling", "/new", {"new": "-> /nowhere"}),
    ],
)
def test_where_it_goes(sides: Sides, source: str, target: str, added: dict[str, str]) -> None:
    cp(sides, source, target)
    assert tree(sides[3]) == dict(sorted((BEFORE | added).items()))


@pytest.mark.parametrize(
    ("source", "target", "added"),
    [
        ("/tofile", "/new", {"new": "file"}),
        ("/tofile", "/there", {"there/tofile": "file"}),
        ("/todir", "/there", at("there/todir", DIR)),
        ("/file", "/new", {"new": "file"}),
    ],
)
def test_following_links(sides: Sides, source: str, target: str, added: dict[str, str]) -> None:
    cp(sides, source, target, follow=True)
    assert tree(sides[3]) == dict(sorted((BEFORE | added).items()))


@pytest.mark.parametrize(
    ("source", "target", "error", "message"),
    [
        ("/nope", "/there", NotFoundError, "no such file or directory in container x: /nope"),
        ("/nope/x", "/there", NotFoundError, "no such file or directory in container x: /nope/x"),
        ("/file/", "/there", RefusedError, "not a directory in container x: /file/"),
        ("/file/x", "/there", NotFoundError, "in container x: /file/x"),
        ("/file", "/nope/new", NotFoundError, "no such file or directory on this host: /nope/new"),
        ("/file", "/new/", NotFoundError, "no such directory: 'new'"),
        ("/file", "/old/", RefusedError, "must be a directory"),
        ("/dir", "/old", ConflictError, "cannot copy a directory onto the file 'old'"),
        ("/dir/.", "/old", ConflictError, "cannot copy a directory"),
    ],
)
def test_refusals(sides: Sides, source: str, target: str, error: type[DevboxError], message: str) -> None:
    with pytest.raises(error, match=message):
        cp(sides, source, target)
    assert tree(sides[3]) == dict(sorted(BEFORE.items()))


def test_a_file_does_not_replace_a_directory_nor_the_other_way(sides: Sides) -> None:
    (sides[3] / "there/file").mkdir()
    (sides[3] / "there/dir").write_text("kept")
    for source in ("/file", "/dir"):
        with pytest.raises(ConflictError, match="cannot replace"):
            cp(sides, source, "/there")
    assert (sides[3] / "there/dir").read_text() == "kept"


def test_a_fifo_is_no_destination_and_does_not_block(sides: Sides) -> None:
    os.mkfifo(sides[3] / "pipe")
    with pytest.raises(RefusedError, match="a directory or a regular file"):
        cp(sides, "/file", "/pipe")


def test_a_socket_is_refused(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.chdir(sides[2])
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(RefusedError, match="it is a socket"):
            cp(sides, "/s", "/new")


def test_loops_of_links_end(sides: Sides) -> None:
    (sides[2] / "loop").symlink_to("loop")
    (sides[3] / "loop").symlink_to("loop")
    for source, target in (("/loop/", "/new"), ("/file", "/loop")):
        with pytest.raises(RefusedError, match="too many levels"):
            cp(sides, source, target)


HOSTILE = {
    "an absolute link as the target": ("{out}", "/l", "/l"),
    "a relative link as the target": ("../../out", "/l", "/l"),
    "a link on the way": ("{out}", "/l", "/l/kept"),
    "a link to the file": ("{out}/kept", "/l", "/l"),
    "a link below": ("{out}", "/there/sub", "/there"),
    "dots": ("x", "/l", "/../../out/kept"),
    "a link to dots": ("..", "/l", "/l/out/kept"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_nothing_outside_is_written(case: str, sides: Sides, tmp_path: Path) -> None:
    outside = tmp_path / "out"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    link, place, target = HOSTILE[case]
    os.symlink(link.format(out=outside), f"{sides[3]}{place}")
    for source in ("/file", "/dir/."):
        with contextlib.suppress(DevboxError):
            cp(sides, source, target)
    assert tree(outside) == {"kept": "kept"}


@pytest.mark.parametrize("path", ["/l", "/l/secret", "/l/", "/l/.", "/../../out/secret", "/f", "/up/out/secret"])
@pytest.mark.parametrize("follow", [True, False])
def test_nothing_outside_is_read(sides: Sides, tmp_path: Path, path: str, follow: bool) -> None:
    outside = tmp_path / "out"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    os.symlink(outside, sides[2] / "l")
    os.symlink(outside / "secret", sides[2] / "f")
    os.symlink("../..", sides[2] / "up")
    with contextlib.suppress(DevboxError):
        cp(sides, path, "/there", follow=follow)
    assert "secret" not in tree(sides[3]).values()


def archive(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.gid = len(text), os.getuid(), os.getgid()
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.mark.parametrize("packer", ["none", "gzip"])
def test_a_stream_is_unpacked_into_a_directory(sides: Sides, packer: str) -> None:
    import gzip

    data = archive(x="1", y="2")
    with tempfile.TemporaryFile() as file:
        file.write(gzip.compress(data) if packer == "gzip" else data)
        file.seek(0)
        with copying.plain(file.fileno()) as source, copying.target(sides[1], "/there") as target:
            assert copying.read_archive(source, target) == 2
    assert tree(sides[3] / "there") == {"x": "1", "y": "2"}


def test_a_stream_needs_a_directory(sides: Sides) -> None:
    for path in ("/old", "/new"):
        with (
            tempfile.TemporaryFile() as file,
            copying.plain(file.fileno()) as source,
            copying.target(sides[1], path) as target,
            pytest.raises(RefusedError, match="must be a directory"),
        ):
            copying.read_archive(source, target)


@pytest.mark.parametrize(
    ("path", "names"),
    [("/dir", ["dir", "dir/a", "dir/sub", "dir/sub/b"]), ("/dir/.", ["a", "sub", "sub/b"]), ("/file", ["file"])],
)
def test_a_stream_names_what_was_asked_for(sides: Sides, path: str, names: list[str]) -> None:
    chunks: list[bytes] = []
    with copying.origin(sides[0], path) as origin:
        length = copying.write_archive(origin, chunks.append)
    data = b"".join(chunks)
    assert len(data) == length
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert [name for name in tar.getnames() if name != "."] == names
