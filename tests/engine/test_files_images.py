"""diff, commit and export."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import ENTRY, Box


@pytest.fixture
def image(box: Box) -> Iterator[str]:
    name = f"i{secrets.token_hex(4)}:1"
    yield name
    box("rmi", "-f", name, check=False)


def export(box: Box, container: str) -> dict[str, tarfile.TarInfo]:
    data = subprocess.run([*ENTRY, "export", container], env=box.env, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: member for member in tar}


CHANGES = """
rm /bin/vi; echo x >> /etc/passwd; mkdir -p /new/sub; touch /new/sub/file; chmod 711 /root
rm -rf /etc/group; ln -s x /link; touch /tmp/gone; rm /tmp/gone
"""


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_diff(box: Box, name: str, state: str) -> None:
    box(
        "run",
        "-d",
        "--name",
        name,
        "-v",
        "/vol",
        "busybox",
        "sh",
        "-c",
        f"{CHANGES} touch /vol/x; touch /done; sleep 600",
    )
    while "A /done" not in box.out("diff", name).splitlines():
        pass
    if state == "stopped":
        box("kill", name)
    lines = box.out("diff", name).splitlines()
    assert [line for line in lines if line != "C /tmp"] == [
        "C /bin",
        "D /bin/vi",
        "A /done",
        "C /etc",
        "D /etc/group",
        "C /etc/passwd",
        "A /link",
        "A /new",
        "A /new/sub",
        "A /new/sub/file",
        "C /root",
        "A /vol",
    ]
    box("rm", "-f", "-v", name)


def test_a_container_that_did_nothing_has_no_diff(box: Box, name: str) -> None:
    box("run", "--name", name, "busybox", "true")
    assert box.out("diff", name) == ""


def test_diff_over_several_layers_and_an_opaque_directory(box: Box, name: str, image: str) -> None:
    box("run", "--name", name, "busybox", "sh", "-c", "mkdir /d; touch /d/a /d/b; rm /bin/vi")
    box("commit", name, image)
    box("rm", name)
    box("run", "--name", name, image, "sh", "-c", "rm -rf /d; mkdir /d; touch /d/b /d/c /bin/vi")
    assert box.out("diff", name).splitlines() == ["C /bin", "A /bin/vi", "C /d", "D /d/a", "C /d/b", "A /d/c"]


def test_names_are_escaped_for_terminals_only(box: Box, name: str) -> None:
    box("run", "--name", name, "busybox", "sh", "-c", "touch /$(printf 'a\\033b')")
    assert box.out("diff", name) == "A /a\033b"


def test_commit_makes_an_image_that_runs(box: Box, name: str, image: str) -> None:
    box("run", "--name", name, "-e", "A=1", "-w", "/w", "-l", "x=y", "busybox", "sh", "-c", CHANGES)
    committed = box.out(
        "commit", "-a", "me", "-m", "why", "-c", "CMD echo committed", "-c", "ENV B=2", name, image
    )
    assert committed.startswith("sha256:")
    assert box.out("run", "--rm", image) == "committed"
    (document,) = box.json("image", "inspect", image)
    assert document["Id"] == committed
    assert (document["Author"], document["Comment"]) == ("me", "why")
    assert {"A=1", "B=2"} <= set(document["Config"]["Env"])
    assert (document["Config"]["WorkingDir"], document["Config"]["Labels"]) == ("/w", {"x": "y"})
    assert len(document["RootFS"]["Layers"]) == 2
    shown = box.out(
        "run", "--rm", image, "sh", "-c", "ls /bin/vi /etc/group; ls /new/sub; stat -c %a /root", check=False
    )
    assert shown.splitlines() == ["file", "711"]
    assert "why" in box.out("history", image)


def test_a_committed_layer_holds_only_what_changed(box: Box, name: str, image: str, tmp_path: Path) -> None:
    box("run", "--name", name, "busybox", "touch", "/only")
    box("commit", name, image)
    box("save", "-o", str(tmp_path / "saved.tar"), image)
    with tarfile.open(tmp_path / "saved.tar") as tar:
        layers = [member for member in tar if member.isfile() and member.size]
        names = []
        for member in layers:
            file = tar.extractfile(member)
            assert file
            try:
                with tarfile.open(fileobj=io.BytesIO(file.read())) as layer:
                    names.append(layer.getnames())
            except tarfile.ReadError:
                continue
    assert ["only"] in names


def test_commit_of_nothing_adds_no_layer(box: Box, name: str, image: str) -> None:
    box("run", "--name", name, "busybox", "true")
    box("commit", name, image)
    assert box.out("image", "inspect", "-f", "{{len .RootFS.Layers}}", image) == "1"
    assert box.out("run", "--rm", image, "echo", "ok") == "ok"


def test_commit_pauses_and_goes_on(box: Box, name: str, image: str) -> None:
    box(
        "run", "-d", "--name", name, "-v", "/vol", "busybox", "sh", "-c", "echo x > /file; touch /vol/y; sleep 600"
    )
    while "A /file" not in box.out("diff", name).splitlines():
        pass
    box("commit", name, image)
    assert box.out("inspect", "-f", "{{.State.Status}}", name) == "running"
    assert box.out("run", "--rm", image, "sh", "-c", "cat /file; ls /vol") == "x"
    box("commit", "--pause=false", name, image)
    box("pause", name)
    box("commit", name, image)
    assert box.out("inspect", "-f", "{{.State.Status}}", name) == "paused"
    box("rm", "-f", "-v", name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nosuch", "x:1"), "no such container: nosuch"),
        (("{c}", "Upper/Case"), "Upper"),
        (("-c", "RUN true", "{c}", "x:1"), "RUN"),
        (("-c", "CMD", "{c}", "x:1"), "CMD"),
    ],
)
def test_commit_refuses_before_it_does_anything(box: Box, name: str, words: tuple[str, ...], message: str) -> None:
    box("create", "--name", name, "busybox", "true")
    before = box.out("images", "-aq")
    assert message in box.fails("commit", *(word.format(c=name) for word in words))
    assert box.out("images", "-aq") == before


@pytest.mark.parametrize("state", ["running", "stopped"])
def test_export(box: Box, name: str, state: str, tmp_path: Path) -> None:
    box(
        "run",
        "-d",
        "--name",
        name,
        "-v",
        "/vol",
        "busybox",
        "sh",
        "-c",
        "chown 7:8 /root; touch /vol/hidden; touch /f; sleep 600",
    )
    while "A /f" not in box.out("diff", name).splitlines():
        pass
    if state == "stopped":
        box("kill", name)
    members = export(box, name)
    assert {"bin/busybox", "f", "etc/passwd", "proc", "vol"} <= set(members)
    assert (members["root"].uid, members["root"].gid) == (7, 8)
    assert not [path for path in members if path.startswith(("proc/", "sys/", "vol/"))]
    box("export", "-o", str(tmp_path / "out.tar"), name)
    with tarfile.open(tmp_path / "out.tar") as tar:
        assert set(tar.getnames()) == set(members)
    assert "does not exist" in box.fails("export", "-o", str(tmp_path / "no/out.tar"), name)
    box("rm", "-f", "-v", name)


def test_export_and_import_give_the_same_files(box: Box, name: str, image: str, tmp_path: Path) -> None:
    box("run", "--name", name, "busybox", "sh", "-c", CHANGES)
    box("export", "-o", str(tmp_path / "out.tar"), name)
    box("import", str(tmp_path / "out.tar"), image)
    assert box.out("run", "--rm", image, "readlink", "/link") == "x"


def test_nothing_is_left_behind(box: Box, name: str) -> None:
    box("run", "--name", name, "busybox", "true")
    places = (box.root / "run/containers", box.root / "tmp")
    before = [sorted(os.listdir(place)) for place in places]
    for words in (("diff", name), ("cp", f"{name}:/etc", "-"), ("export", "-o", "/dev/null", name)):
        box(*words)
    assert [sorted(os.listdir(place)) for place in places] == before
    assert str(box.root) not in Path("/proc/self/mounts").read_text()
