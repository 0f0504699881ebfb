"""cp in and out of running and stopped containers, hostile ones among them."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import ENTRY, Box

SETUP = (
    "mkdir -p /srv/d/sub; echo one > /srv/d/one; echo two > /srv/d/sub/two; chown -R 5:6 /srv/d; ln -s /srv/d /l"
)


@pytest.fixture(params=["running", "stopped"])
def container(box: Box, name: str, request: pytest.FixtureRequest) -> str:
    """A container with some files, in each state."""
    box("run", "-d", "--name", name, "busybox", "sh", "-c", f"{SETUP}; touch /ready; exec sleep 600")
    deadline = time.monotonic() + 20
    while box("exec", name, "test", "-e", "/ready", check=False).returncode:
        assert time.monotonic() < deadline
    if request.param == "stopped":
        box("kill", name)
    return name


def read(box: Box, container: str, path: str) -> bytes:
    data = subprocess.run([*ENTRY, "cp", f"{container}:{path}", "-"], env=box.env, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(data.stdout)) as tar:
        file = tar.extractfile(tar.getmembers()[0])
        assert file
        return file.read()


def test_out_and_in(box: Box, container: str, tmp_path: Path) -> None:
    box("cp", f"{container}:/srv/d", str(tmp_path / "copy"))
    assert (tmp_path / "copy/one").read_text() == "one\n"
    assert (tmp_path / "copy/sub/two").read_text() == "two\n"
    assert (tmp_path / "copy/one").stat().st_uid == os.getuid()
    (tmp_path / "copy/new").write_text("new")
    box("cp", f"{tmp_path}/copy/.", f"{container}:/srv/d")
    assert read(box, container, "/srv/d/new") == b"new"
    assert read(box, container, "l/new") == b"new"


def test_owners_stay_with_archive(box: Box, container: str, tmp_path: Path) -> None:
    box("cp", "-a", f"{container}:/srv/d", str(tmp_path))
    there = (tmp_path / "d/one").stat()
    assert (there.st_uid, there.st_gid) == (5, 6)
    box("cp", str(tmp_path / "d"), f"{container}:/plain")
    box("cp", "-a", str(tmp_path / "d"), f"{container}:/archive")
    owners = {}
    for place in ("plain", "archive"):
        data = subprocess.run(
            [*ENTRY, "cp", f"{container}:/{place}", "-"], env=box.env, capture_output=True, check=True
        )
        with tarfile.open(fileobj=io.BytesIO(data.stdout)) as tar:
            owners[place] = {(member.uid, member.gid) for member in tar}
    assert owners == {"plain": {(0, 0)}, "archive": {(5, 6)}}


def test_relative_paths_are_of_the_working_directory(box: Box, container: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    box("cp", "file", f"{container}:/tmp", cwd=tmp_path)
    box("cp", f"{container}:tmp/file", "other", cwd=tmp_path)
    box("cp", f"{container}:/srv/d/.", ".", cwd=tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["file", "one", "other", "sub"]


def test_streams(box: Box, container: str) -> None:
    out = subprocess.run(
        [*ENTRY, "cp", f"{container}:/srv/d/.", "-"], env=box.env, capture_output=True, check=True
    )
    command = [*ENTRY, "cp", "-", f"{container}:/tmp"]
    subprocess.run(command, env=box.env, input=out.stdout, check=True)
    assert read(box, container, "/tmp/sub/two") == b"two\n"
    noise = subprocess.run(command, env=box.env, input=b"x" * 2000, capture_output=True, check=False)
    assert noise.returncode == 125
    assert b"not a tar archive" in noise.stderr


def test_links_are_copied_as_links_unless_followed(box: Box, container: str, tmp_path: Path) -> None:
    box("cp", f"{container}:/l", str(tmp_path))
    assert os.readlink(tmp_path / "l") == "/srv/d"
    box("cp", "-L", f"{container}:/l", str(tmp_path / "followed"))
    assert sorted(os.listdir(tmp_path / "followed")) == ["one", "sub"]


@pytest.mark.parametrize(
    ("source", "destination", "message"),
    [
        ("{c}:/nope", "{t}", "no such file or directory in container {c}: /nope"),
        ("{t}/nope", "{c}:/", "no such file or directory on this host: {t}/nope"),
        ("{c}:/srv/d", "{t}/nope/x", "no such file or directory on this host: {t}/nope/x"),
        ("{t}/file", "{c}:/nope/x", "no such file or directory in container {c}: /nope/x"),
        ("{t}/file", "{c}:/nope/", "no such directory: 'nope'"),
        ("{t}", "{c}:/srv/d/one", "cannot copy a directory onto the file 'one'"),
        ("{c}:/etc", "{c}:/tmp", "copying between containers is not supported"),
        ("/etc", "/tmp", "one side of a copy must be in a container"),
        ("{c}:", "{t}", "cannot be empty"),
        ("nosuch:/etc", "{t}", "no such container: nosuch"),
        ("-", "{c}:/srv/d/one", "must be a directory"),
    ],
)
def test_refusals(box: Box, name: str, tmp_path: Path, source: str, destination: str, message: str) -> None:
    box("run", "--name", name, "busybox", "sh", "-c", SETUP)
    (tmp_path / "file").write_text("x")
    words = [text.format(c=name, t=tmp_path) for text in (source, destination)]
    assert message.format(c=name, t=tmp_path) in box.fails("cp", *words)
    assert os.listdir(tmp_path) == ["file"]


@pytest.fixture
def mounted(box: Box, name: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    volume = f"v{secrets.token_hex(4)}"
    (tmp_path / "bound").mkdir()
    options = ("-v", f"{volume}:/vol", "-v", f"{tmp_path}/bound:/a/bound", "-v", f"{tmp_path}/bound:/locked:ro")
    if request.param == "created":
        box("create", "--name", name, *options, "busybox", "true")
    else:
        box("run", "-d", "--name", name, *options, "busybox", "sleep", "600")
        if request.param == "stopped":
            box("kill", name)
    yield volume
    box("rm", "-f", name)
    box("volume", "rm", volume)


@pytest.mark.parametrize("mounted", ["created", "running", "stopped"], indirect=True)
def test_volumes_and_bind_mounts_are_part_of_it(box: Box, mounted: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in ("vol", "a/bound"):
        box("cp", str(tmp_path / "file"), f"{name}:/{place}/{place[-1]}")
    assert (Path(box.out("volume", "inspect", "-f", "{{.Mountpoint}}", mounted)) / "l").read_text() == "x"
    assert (tmp_path / "bound/d").read_text() == "x"
    assert read(box, name, "/locked/d") == b"x"
    assert "mounted read-only" in box.fails("cp", str(tmp_path / "file"), f"{name}:/locked/y")
    assert os.listdir(tmp_path / "bound") == ["d"]
    assert not [line for line in box.out("diff", name).splitlines() if line.endswith(("/d", "/l"))]


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_a_read_only_container_refuses(box: Box, name: str, tmp_path: Path, state: str) -> None:
    (tmp_path / "file").write_text("x")
    box("run", "-d", "--name", name, "--read-only", "-v", "/rw", "busybox", "sleep", "600")
    if state == "stopped":
        box("kill", name)
    assert "mounted read-only" in box.fails("cp", str(tmp_path / "file"), f"{name}:/tmp")
    box("cp", str(tmp_path / "file"), f"{name}:/rw")
    box("rm", "-f", "-v", name)


def test_nothing_of_the_kernels_is_copied(box: Box, name: str, tmp_path: Path) -> None:
    box("run", "-d", "--name", name, "busybox", "sleep", "600")
    box("cp", f"{name}:/proc", str(tmp_path))
    box("cp", f"{name}:/", str(tmp_path / "all"))
    assert os.listdir(tmp_path / "proc") == os.listdir(tmp_path / "all/proc") == []
    assert "mounted" not in box.out("inspect", "-f", "{{.State.Status}}", name)


def test_devices_do_not_come_to_the_host(box: Box, name: str, tmp_path: Path) -> None:
    box("run", "--name", name, "busybox", "mknod", "/disk", "b", "8", "0")
    assert "a device node is not allowed here" in box.fails("cp", f"{name}:/disk", str(tmp_path))
    assert os.listdir(tmp_path) == []


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("untouched")
    yield outside
    assert os.listdir(outside) == ["file"]
    assert (outside / "file").read_text() == "untouched"


SWAP = """
mkdir -p /w/real; cd /w; echo inside > real/file
while true; do
    ln -s {out} link; mv -T link place 2>/dev/null; rm -f place link
    mkdir place; echo inside > place/file; rm -rf place
done
"""


def test_links_that_are_swapped_meanwhile_lead_nowhere(box: Box, name: str, canary: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new/file").write_text("from the host")
    (tmp_path / "new/more").write_text("from the host")
    box("run", "-d", "--name", name, "busybox", "sh", "-c", SWAP.format(out=canary))
    for number in range(25):
        box("cp", f"{tmp_path}/new/.", f"{name}:/w/place", check=False)
        box("cp", f"{tmp_path}/new/file", f"{name}:/w/place/file", check=False)
        got = tmp_path / f"got{number}"
        box("cp", f"{name}:/w/place/file", str(got), check=False)
        if got.exists():
            assert got.read_text() in ("inside\n", "from the host", "")
    assert box.out("inspect", "-f", "{{.State.Status}}", name) == "running"


@pytest.mark.parametrize("running", [True, False])
def test_links_out_of_a_container_stay_inside(
    box: Box, name: str, canary: Path, tmp_path: Path, running: bool
) -> None:
    links = f"ln -s {canary} /abs; ln -s ../../../../../..{canary} /rel; ln -s {canary}/file /leaf; ln -s / /top"
    box("run", "-d", "--name", name, "busybox", "sh", "-c", f"{links}; sleep 600")
    time.sleep(0.3)
    if not running:
        box("kill", name)
    (tmp_path / "new").write_text("new")
    for place in ("/abs", "/abs/file", "/rel/file", "/leaf", f"/top{canary}/file"):
        box("cp", str(tmp_path / "new"), f"{name}:{place}", check=False)
        box("cp", "-L", f"{name}:{place}", str(tmp_path / "got"), check=False)
        assert not (tmp_path / "got").is_file() or (tmp_path / "got").read_text() == "new"


def test_a_hostile_stream_stays_inside(box: Box, name: str, canary: Path) -> None:
    box("run", "--name", name, "busybox", "ln", "-s", str(canary), "/tmp/out")
    for member, kind, link in (
        ("../../x", b"0", ""),
        ("out/file", b"0", ""),
        ("l", b"2", str(canary)),
        ("l/file", b"0", ""),
    ):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            info = tarfile.TarInfo(member)
            info.type, info.linkname = kind, link
            tar.addfile(info)
        command = [*ENTRY, "cp", "-", f"{name}:/tmp"]
        subprocess.run(command, env=box.env, input=buffer.getvalue(), capture_output=True, check=False)


def test_a_stopped_container_starts_after_cp(box: Box, name: str, tmp_path: Path) -> None:
    box("create", "--name", name, "busybox", "cat", "/etc/motd")
    (tmp_path / "motd").write_text("hello")
    box("cp", str(tmp_path / "motd"), f"{name}:/etc/motd")
    assert box.out("start", "-a", name) == "hello"
    assert box.out("diff", name).splitlines() == ["C /etc", "A /etc/motd"]
