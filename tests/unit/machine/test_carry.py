"""Files that travel with a command, to a machine that is a directory here and from one that lies."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from devbox.errors import DevboxError, HostError, MachineGoneError, RefusedError
from devbox.machine.translation import carry
from devbox.machine.translation.wish import Fetched, Sent, Translated
from devbox.model.invocation import Invocation

COMMAND = Invocation(("container", "cp"), {})


class Guest:
    """Plays the machine's side in a directory, and a command that does something there."""

    def __init__(self, root: Path, command: Callable[[Path], int]) -> None:
        self.root = root
        self.command = command
        self.asked: list[str] = []

    def __call__(self, invocation: Invocation) -> int:
        self.asked.append(invocation.command[-1])
        match invocation.command[-1]:
            case "receive":
                subprocess.run(["tar", "-x", "-C", self.root], check=True)
            case "give":
                with os.fdopen(os.dup(1), "wb") as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
                    tar.add(self.root, ".")
                shutil.rmtree(self.root)
            case "drop":
                shutil.rmtree(self.root)
            case _:
                return self.command(self.root)
        return 0


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "guest").mkdir()
    (tmp_path / "here").mkdir()
    return tmp_path


def test_a_tree_is_sent_with_links_modes_and_names(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tree = place / "here/tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/odd\udcff name").write_text("x")
    (tree / "run").write_text("#!/bin/sh\n")
    (tree / "run").chmod(0o755)
    (tree / "link").symlink_to("nowhere")
    (place / "here/alias").symlink_to(tree)
    seen = []

    def command(root: Path) -> int:
        seen.extend(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
        assert (root / "0/tree/link").readlink() == Path("nowhere")
        assert (root / "0/tree/run").stat().st_mode & 0o777 == 0o755
        assert (root / "1/alias/run").exists()
        print("out", flush=True)
        return 7

    guest = Guest(place / "guest", command)
    sent = (
        Sent(str(tree), "/s/0/tree", "source"),
        Sent(str(place / "here/alias"), "/s/1/alias", "source", follow=True),
    )
    assert carry.run(Translated(COMMAND, "/", send=sent), "/s", guest) == 7
    assert "0/tree/sub/odd\udcff name" in seen
    assert guest.asked == ["receive", "cp", "drop"]
    assert capfd.readouterr().out == "out\n", "0 and 1 are the caller's again"


def test_what_is_ignored_is_not_even_read(place: Path) -> None:
    tree = place / "here/tree"
    (tree / "skipped/kept").mkdir(parents=True)
    for name in ("Dockerfile", "skipped/large", "skipped/kept/file", "a.log"):
        (tree / name).write_text("x")
    (tree / "skipped/dangling").symlink_to("nowhere")
    os.mkfifo(tree / "skipped/pipe")
    seen = []

    def command(root: Path) -> int:
        seen.extend(sorted(str(path.relative_to(root / "0/tree")) for path in (root / "0/tree").rglob("*")))
        return 0

    sent = Sent(str(tree), "/s/0/tree", "--context", without=("skipped", "!skipped/kept", "*.log", "Dockerfile"))
    carry.run(Translated(COMMAND, "/", send=(sent,)), "/s", Guest(place / "guest", command))
    assert seen == ["Dockerfile", "skipped", "skipped/kept", "skipped/kept/file"]


def test_what_the_command_leaves_comes_back(place: Path) -> None:
    here = place / "here"
    (here / "old").write_text("old")
    (here / "dir").mkdir()

    def command(root: Path) -> int:
        assert (root / "0/dir").is_dir()
        assert (root / "1/old").read_bytes() == b""
        assert not (root / "2/new").exists()
        (root / "0/dir/sub").mkdir()
        (root / "0/dir/sub/a").write_text("a")
        os.link(root / "0/dir/sub/a", root / "0/dir/b")
        (root / "0/dir/link").symlink_to("sub/a")
        (root / "1/old").write_text("changed")
        (root / "2/new").mkdir(mode=0o700)
        return 0

    wanted = (
        Fetched("/s/0/dir", str(here / "dir"), "destination", "directory"),
        Fetched("/s/1/old", str(here / "old"), "destination", "file"),
        Fetched("/s/2/new", str(here / "new"), "destination", "absent"),
    )
    assert carry.run(Translated(COMMAND, "/", fetch=wanted), "/s", Guest(place / "guest", command)) == 0
    assert (here / "dir/sub/a").read_text() == "a"
    assert (here / "dir/b").samefile(here / "dir/sub/a")
    assert (here / "dir/link").readlink() == Path("sub/a")
    assert (here / "old").read_text() == "changed"
    assert (here / "new").is_dir()


def test_a_command_that_fails_destroys_nothing(place: Path) -> None:
    (place / "here/old").write_text("old")
    wanted = (
        Fetched("/s/0/old", str(place / "here/old"), "destination", "file"),
        Fetched("/s/1/cid", str(place / "here/cid"), "--cidfile", "absent"),
    )

    def command(root: Path) -> int:
        (root / "1/cid").write_text("id")
        return 3

    assert carry.run(Translated(COMMAND, "/", fetch=wanted), "/s", Guest(place / "guest", command)) == 3
    assert (place / "here/old").read_text() == "old"
    assert (place / "here/cid").read_text() == "id", "the container did run"


def test_a_file_that_cannot_be_read_stops_before_anything_is_sent(place: Path) -> None:
    guest = Guest(place / "guest", lambda _: 0)
    with pytest.raises(HostError, match="cannot read"):
        carry.run(Translated(COMMAND, "/", send=(Sent(str(place / "none"), "/s/0/none", "source"),)), "/s", guest)
    assert guest.asked == []


def test_a_machine_that_goes_after_the_command_is_told_apart(place: Path) -> None:
    class GoneError(MachineGoneError):
        pass

    def perform(invocation: Invocation) -> int:
        if invocation.command[-1] in ("give", "drop"):
            raise GoneError("nothing answers")
        return 0

    for translated in (
        Translated(COMMAND, "/", fetch=(Fetched("/s/0/f", str(place / "here/f"), "destination", "absent"),)),
        Translated(COMMAND, "/", send=(Sent(str(place / "here"), "/s/0/here", "source"),)),
    ):
        with pytest.raises(MachineGoneError, match="the command ended with 0, then") as caught:
            carry.run(translated, "/s", perform)
        assert type(caught.value) is MachineGoneError


def hostile(*members: tuple[str, bytes, str]) -> io.BytesIO:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, target, 0o644
            if kind == tarfile.REGTYPE:
                info.size = 4
            tar.addfile(info, io.BytesIO(b"evil") if kind == tarfile.REGTYPE else None)
    archive.seek(0)
    return archive


REG, DIR, SYM, LNK = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE


@pytest.mark.parametrize(
    "members",
    [
        [("./0/dir/../../outside", REG, "")],
        [("./0/dir/l", SYM, "/"), ("./0/dir/l/outside", REG, "")],
        [("./0/dir/l", SYM, ".."), ("./0/dir/l/sub", DIR, ""), ("./0/dir/l/sub/x", REG, "")],
        [("./0/dir/h", LNK, "./../../secret")],
        [("./0/dir/h", LNK, "./1/other/secret")],
        [("./0/dir/l", SYM, "../outside"), ("./0/dir/h", LNK, "./0/dir/l/x")],
        [("./0/dir/p", tarfile.FIFOTYPE, "")],
        [("./0/dir/d", tarfile.CHRTYPE, "")],
    ],
)
def test_nothing_is_written_outside(place: Path, members: list[tuple[str, bytes, str]]) -> None:
    here = place / "here"
    (here / "dir").mkdir()
    (place / "secret").write_text("secret")
    (here / "secret").write_text("secret")
    before = sorted(place.rglob("*"))
    wanted = [Fetched("/s/0/dir", str(here / "dir"), "destination", "directory")]
    with pytest.raises(DevboxError):
        carry.unpack(hostile(*members), wanted)
    outside = [path for path in sorted(place.rglob("*")) if here / "dir" not in path.parents]
    assert outside == [path for path in before if here / "dir" not in path.parents]
    assert (here / "secret").read_text() == "secret"


def test_a_link_that_is_there_is_replaced_not_followed(place: Path) -> None:
    here = place / "here"
    (here / "dir").mkdir()
    (place / "secret").write_text("secret")
    (here / "dir/f").symlink_to(place / "secret")
    wanted = [Fetched("/s/0/dir", str(here / "dir"), "destination", "directory")]
    carry.unpack(hostile(("./0/dir/f", REG, "")), wanted)
    assert (here / "dir/f").read_bytes() == b"evil"
    assert (place / "secret").read_text() == "secret"


def test_what_was_not_asked_for_is_left_out(place: Path) -> None:
    wanted = [Fetched("/s/0/f", str(place / "here/f"), "destination", "absent")]
    carry.unpack(hostile(("./1/g", REG, ""), ("./0/f", REG, ""), ("/etc/passwd", REG, "")), wanted)
    assert [path.name for path in (place / "here").iterdir()] == ["f"]
    with pytest.raises(RefusedError, match="no archive"):
        carry.unpack(io.BytesIO(b"x" * 2000), wanted)
