"""Volumes through the command line: made, filled from the image, shared, refused while in use, removed."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import ENTRY, Box
from tests.engine.test_crash import killed_at

SETUP = """
mkdir -p /srv/data/sub && cd /srv/data
echo content > file && chown 7:8 file && chmod 4751 file && touch -d @1234567890 file
ln file sub/hard && ln -s file soft && mkfifo pipe && chown 3:4 . && chmod 2750 . && touch -d @1000000000 sub
ln -s /srv/data /srv/alias && ln -s /srv /up && rm -f /x && ln -s / /rootlink
"""


@pytest.fixture(scope="session")
def filled(box: Box) -> Iterator[str]:
    """An image that has files of all kinds in /srv/data."""
    maker = f"m{secrets.token_hex(4)}"
    box("run", "--name", maker, "busybox", "sh", "-c", SETUP)
    box("commit", maker, "filled:1")
    box("rm", maker)
    yield "filled:1"
    box("rmi", "-f", "filled:1", check=False)


@pytest.fixture
def volume(box: Box) -> Iterator[str]:
    name = f"v{secrets.token_hex(4)}"
    yield name
    box("volume", "rm", "-f", name)


def data(box: Box, volume: str) -> Path:
    return Path(box.out("volume", "inspect", "-f", "{{.Mountpoint}}", volume))


def names(box: Box) -> list[str]:
    return box.out("volume", "ls", "-q").split()


def test_commands_print_what_dockers_do(box: Box, volume: str) -> None:
    assert box.out("volume", "create", "--label", "a=1", volume) == volume
    assert box.out("volume", "create", volume) == volume
    lines = box.out("volume", "ls", "-f", f"name={volume}").splitlines()
    assert lines == ["DRIVER    VOLUME NAME", f"local     {volume}"]
    (document,) = box.json("volume", "inspect", volume)
    assert set(document) == {"CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope"}
    assert (document["Name"], document["Driver"], document["Labels"]) == (volume, "local", {"a": "1"})
    row = json.loads(box.out("volume", "ls", "-f", f"name={volume}", "--format", "json"))
    assert (row["Name"], row["Labels"], row["Scope"]) == (volume, "a=1", "local")
    assert box.out("volume", "rm", volume) == volume
    assert "no such volume" in box.fails("volume", "rm", volume)


def test_listing_filters(box: Box, volume: str, name: str) -> None:
    box("volume", "create", "--label", "color=red", volume)
    assert box.out("volume", "ls", "-q", "-f", "label=color=red") == volume
    assert volume not in box.out("volume", "ls", "-q", "-f", "label=color=blue")
    assert volume in box.out("volume", "ls", "-q", "-f", "dangling=true").split()
    box("create", "--name", name, "-v", f"{volume}:/data", "busybox", "true")
    assert volume not in box.out("volume", "ls", "-q", "-f", "dangling=true").split()
    assert volume in box.out("volume", "ls", "-q", "-f", "dangling=false", "-f", "driver=local").split()
    assert "invalid filter" in box.fails("volume", "ls", "-f", "size=3")


def test_files_outlive_their_container(box: Box, volume: str) -> None:
    box("run", "--rm", "-v", f"{volume}:/data", "busybox", "sh", "-c", "echo kept > /data/file")
    assert box.out("run", "--rm", "--mount", f"src={volume},dst=/d", "busybox", "cat", "/d/file") == "kept"


def test_a_new_volume_gets_what_the_image_has(box: Box, volume: str, filled: str) -> None:
    shown = "cd /srv/data; stat -c '%n %a %u %g %h %Y' file sub/hard; stat -c '%a %u %g' .; readlink soft; ls -F"
    lines = box.out("run", "--rm", "-v", f"{volume}:/srv/data", filled, "sh", "-c", shown).splitlines()
    assert lines[:2] == ["file 4751 7 8 2 1234567890", "sub/hard 4751 7 8 2 1234567890"]
    assert lines[2:] == ["2750 3 4", "file", "file*", "pipe|", "soft@", "sub/"]
    assert int((data(box, volume) / "sub").stat().st_mtime) == 1000000000


def test_a_volume_with_files_is_left_as_it_is(box: Box, volume: str, filled: str) -> None:
    box("run", "--rm", "-v", f"{volume}:/d", "busybox", "touch", "/d/own")
    assert box.out("run", "--rm", "-v", f"{volume}:/srv/data", filled, "ls", "/srv/data") == "own"


@pytest.mark.parametrize("option", ["-v={}:/srv/data:nocopy", "--mount=src={},dst=/srv/data,volume-nocopy"])
def test_nocopy(box: Box, volume: str, filled: str, option: str) -> None:
    assert box.out("run", "--rm", option.format(volume), filled, "ls", "/srv/data") == ""


@pytest.mark.parametrize("target", ["/srv/alias", "/up/data", "/rootlink/srv/data"])
def test_a_target_that_is_a_link_is_resolved_in_the_container(
    box: Box, volume: str, filled: str, target: str
) -> None:
    assert "file" in box.out("run", "--rm", "-v", f"{volume}:{target}", filled, "ls", "/srv/data").split()
    assert "file" in os.listdir(data(box, volume))


def test_an_emptied_volume_is_not_filled_again_by_the_same_container(
    box: Box, volume: str, filled: str, name: str
) -> None:
    box("run", "--name", name, "-v", f"{volume}:/srv/data", filled, "sh", "-c", "rm -rf /srv/data/*")
    box("start", "-a", name)
    assert os.listdir(data(box, volume)) == []


def test_a_copy_that_was_cut_short_is_done_anew(box: Box, volume: str, filled: str) -> None:
    box("volume", "create", volume)
    place = data(box, volume)
    (place / "half").write_text("x")
    (place.parent / "filling").touch()
    box("run", "--rm", "-v", f"{volume}:/srv/data", filled, "true")
    assert sorted(os.listdir(place)) == ["file", "pipe", "soft", "sub"]
    assert os.listdir(place.parent) == ["_data"]


def test_containers_that_start_together_fill_a_volume_once(box: Box, volume: str, filled: str) -> None:
    words = ("run", "--rm", "-v", f"{volume}:/srv/data", filled, "sh", "-c", "ls /srv/data | wc -l")
    running = [box.popen(*words, stdout=subprocess.PIPE) for _ in range(6)]
    assert {child.communicate(timeout=60)[0] for child in running} == {b"4\n"}


def test_a_killed_start_leaves_a_volume_that_fills(box: Box, volume: str, filled: str, name: str) -> None:
    box("create", "--name", name, "-v", f"{volume}:/srv/data", filled, "ls", "/srv/data")
    for call in ("fchmod", "utimensat", "syncfs", "unlinkat"):
        inject = f"inject={call}:signal=KILL:when=1"
        trace = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject, *ENTRY)
        child = subprocess.run([*trace, "start", name], env=box.env, capture_output=True, check=False)
        assert child.returncode != 0, call
    assert box.out("start", "-a", name).split() == ["file", "pipe", "soft", "sub"]
    assert os.listdir(data(box, volume).parent) == ["_data"]


def test_a_used_volume_is_not_removed(box: Box, volume: str, name: str) -> None:
    box("create", "--name", name, "-v", f"{volume}:/data", "busybox", "true")
    message = box.fails("volume", "rm", volume)
    assert f"volume {volume} is in use by container {name}" in message
    box("rm", name)
    assert volume in names(box)


def test_rm_goes_on_after_a_failure(box: Box, volume: str) -> None:
    box("volume", "create", volume)
    done = box("volume", "rm", "nosuchvolume", volume, check=False)
    assert (done.returncode, done.stdout) == (125, volume + "\n")


def test_anonymous_volumes_go_with_rm_v_only(box: Box, name: str, volume: str) -> None:
    before = set(names(box))
    box("create", "--name", name, "-v", "/a", "-v", f"{volume}:/b", "busybox", "true")
    (anonymous,) = set(names(box)) - before - {volume}
    assert len(anonymous) == 64
    box("rm", name)
    assert anonymous in names(box)
    box("create", "--name", name, "-v", f"{anonymous}:/a", "busybox", "true")
    box("rm", "-v", name)
    assert {anonymous, volume} <= set(names(box)) | {anonymous}
    assert volume in names(box)


def test_prune_takes_unused_anonymous_volumes(box: Box, volume: str, name: str) -> None:
    box("volume", "create", "--label", "keep", volume)
    anonymous = box.out("volume", "create")
    (data(box, anonymous) / "file").write_bytes(b"x" * 2500)
    lines = box.out("volume", "prune", "-f").splitlines()
    assert lines[0] == "Deleted Volumes:"
    assert anonymous in lines
    assert volume not in lines
    assert lines[-1].startswith("Total reclaimed space: ")
    assert box.out("volume", "prune", "-f") == "Total reclaimed space: 0B"
    assert volume not in box.out("volume", "prune", "-a", "-f", "--filter", "label!=keep")
    assert volume in box.out("volume", "prune", "-f", "--all", "--filter", "label=keep").splitlines()


def test_prune_asks(box: Box) -> None:
    anonymous = box.out("volume", "create")
    assert "[y/N]" in box.out("volume", "prune", input="n\n")
    assert anonymous in names(box)
    assert anonymous in box.out("volume", "prune", input="y\n")


def test_read_only_and_tmpfs(box: Box, volume: str, tmp_path: Path) -> None:
    for option in (
        f"-v={volume}:/d:ro",
        f"--mount=type=bind,src={tmp_path},dst=/d,readonly",
        f"-v={tmp_path}:/d:ro",
    ):
        assert "Read-only" in box("run", "--rm", option, "busybox", "touch", "/d/x", check=False).stderr
    size = box.out("run", "--rm", "--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1711", "busybox",
                   "sh", "-c", "stat -c %a /t; df -k /t | tail -1")  # fmt: skip
    assert size.split()[:1] == ["1711"]
    assert "1024" in size.split()
    assert "700" in box.out("run", "--rm", "--tmpfs", "/t:mode=700,size=1m", "busybox", "stat", "-c", "%a", "/t")


def test_volumes_from(box: Box, volume: str, name: str) -> None:
    box("create", "--name", name, "-v", f"{volume}:/d", "-v", "/anon", "busybox", "true")
    box("run", "--rm", "--volumes-from", name, "busybox", "sh", "-c", "echo 1 > /d/x; echo 2 > /anon/y")
    assert box.out("run", "--rm", "--volumes-from", f"{name}:ro", "busybox", "cat", "/d/x", "/anon/y") == "1\n2"
    assert (
        "Read-only"
        in box("run", "--rm", "--volumes-from", f"{name}:ro", "busybox", "touch", "/d/z", check=False).stderr
    )
    assert len(box.json("inspect", name)[0]["Mounts"]) == 2


def test_a_volume_that_stands_for_a_directory(box: Box, volume: str, tmp_path: Path) -> None:
    there = tmp_path / "there"
    options = ("-o", "type=none", "-o", "o=bind", "-o", f"device={there}")
    box("volume", "create", *options, volume)
    assert "is not a directory of this host" in box.fails("run", "--rm", "-v", f"{volume}:/d", "busybox", "true")
    there.mkdir()
    box("run", "--rm", "-v", f"{volume}:/d", "busybox", "touch", "/d/x")
    assert os.listdir(there) == ["x"]
    assert os.listdir(data(box, volume)) == []
    box("volume", "rm", volume)
    assert os.listdir(there) == ["x"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--rm", "-v", "/a:/b:/c:/d", "busybox"), "invalid volume"),
        (("run", "--rm", "-v", "x/y:/b", "busybox"), "invalid volume name"),
        (("run", "--rm", "-v", "vol1:/a", "-v", "vol2:/a", "busybox"), "duplicate mount point: /a"),
        (("run", "--rm", "--mount", "type=bind,src=/no/such/dir,dst=/a", "busybox"), "/no/such/dir"),
        (("run", "--rm", "--mount", "type=bind,sorce=/x,dst=/a", "busybox"), "unknown key 'sorce'"),
        (("volume", "create", "-d", "rexray", "x1"), "unknown volume driver 'rexray'"),
        (("volume", "create", "../x"), "invalid volume name"),
        (("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "x1"), "cannot be shared"),
    ],
)
def test_bad_input_leaves_nothing(box: Box, words: tuple[str, ...], message: str) -> None:
    before = names(box), box.out("ps", "-aq")
    assert message in box.fails(*words)
    assert (names(box), box.out("ps", "-aq")) == before


def test_a_volume_can_be_used_while_another_container_runs(box: Box, volume: str, name: str) -> None:
    box(
        "run",
        "-d",
        "--name",
        name,
        "-v",
        f"{volume}:/d",
        "busybox",
        "sh",
        "-c",
        "until test -e /d/go; do sleep 0.05; done",
    )
    box("run", "--rm", "-v", f"{volume}:/d", "busybox", "touch", "/d/go")
    assert box.out("wait", name) == "0"


@pytest.mark.parametrize("call", ["fdatasync", "pwrite64", "rename", "fsync", "unlinkat", "rmdir"])
def test_a_killed_rm_removes_all_or_nothing(box: Box, volume: str, call: str) -> None:
    box("volume", "create", volume)
    place = data(box, volume)
    (place / "file").write_text("kept")
    trace = (
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:signal=KILL:when=1",
    )
    subprocess.run([*trace, *ENTRY, "volume", "rm", volume], env=box.env, capture_output=True, check=False)
    if volume in names(box):
        assert (place / "file").read_text() == "kept"
    else:
        assert not place.parent.exists()
    assert sorted(os.listdir(box.root / "volumes")) == names(box)
    assert not [path for path in (box.root / "tmp").iterdir() if os.listdir(path)]


@pytest.mark.parametrize("number", ["KILL", "INT"])
def test_a_create_that_is_cut_off_makes_all_or_nothing(box: Box, volume: str, number: str) -> None:
    for call, after in (("mkdir", 1), ("mkdir", 2), ("fsync", 1), ("fdatasync", 0)):
        killed_at(box, call, after, "volume", "create", volume, number=number)
        rows = box.out("volume", "ls", "-q").split()
        assert sorted(os.listdir(box.root / "volumes")) == sorted(rows)
        assert not [path for path in (box.root / "tmp").iterdir() if os.listdir(path)]
        box("volume", "rm", "-f", volume)


def test_many_clients_want_one_name(box: Box, volume: str) -> None:
    words = ("volume", "create", "--label", "a=1", volume)
    children = [box.popen(*words, stdout=subprocess.PIPE) for _ in range(8)]
    assert {child.communicate(timeout=60)[0].decode().strip() for child in children} == {volume}
    assert "other labels" in box.fails("volume", "create", "--label", "a=2", volume)
