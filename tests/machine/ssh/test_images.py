"""Images and files of containers through a machine: what is named on the command line is the caller's."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine import registries
from tests.machine.ssh.conftest import Host


@pytest.fixture
def base(host: Host) -> Iterator[str]:
    host("run", "-d", "--name", "base", "busybox", "sleep", "1000")
    yield "base"
    host("rm", "-f", "base")


def test_archives_of_images_are_files_of_the_caller(host: Host, tmp_path: Path) -> None:
    host("tag", "busybox", "kept:1")
    host("save", "-o", "kept.tar", "kept:1", cwd=tmp_path)
    with tarfile.open(tmp_path / "kept.tar") as tar:
        assert "index.json" in tar.getnames()
    (tmp_path / "stream.tar").write_bytes(host.out("save", "kept:1").encode(errors="surrogateescape"))
    for line, data in ((("load", "-i", "kept.tar"), None), (("load",), (tmp_path / "stream.tar").read_bytes())):
        host("rmi", "kept:1")
        assert "Loaded image: kept:1" in host.out(*line, input=data, cwd=tmp_path)
    host("rmi", "kept:1")
    assert "there is no" in host.fails("load", "-i", "nowhere.tar", cwd=tmp_path)


def test_trees_of_containers_are_files_of_the_caller(host: Host, base: str, tmp_path: Path) -> None:
    host("exec", base, "sh", "-c", "echo inside > /made")
    host("export", "-o", "tree.tar", base, cwd=tmp_path)
    with tarfile.open(tmp_path / "tree.tar") as tar:
        assert "made" in tar.getnames()
    for source, data in (("tree.tar", None), ("-", (tmp_path / "tree.tar").read_bytes())):
        image = host.out("import", "-c", "CMD cat /made", source, input=data, cwd=tmp_path).strip()
        assert host.out("run", "--rm", image) == "inside\n"
        host("rmi", image)


def test_cp_both_ways_and_through_streams(host: Host, base: str, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_text("sent")
    (tree / "sub/run").write_text("#!/bin/sh\n")
    (tree / "sub/run").chmod(0o750)
    host("cp", "tree", f"{base}:/there", cwd=tmp_path)
    assert host.out("exec", base, "cat", "/there/sub/file") == "sent"
    host("cp", f"{base}:/there/sub", "back", cwd=tmp_path)
    assert (tmp_path / "back/file").read_text() == "sent"
    assert (tmp_path / "back/run").stat().st_mode & 0o777 == 0o750
    archive = host.out("cp", f"{base}:/there/sub/file", "-")
    host("exec", base, "mkdir", "/streamed")
    host("cp", "-", f"{base}:/streamed", input=archive)
    assert host.out("exec", base, "cat", "/streamed/file") == "sent"
    assert "there is no" in host.fails("cp", "nowhere", f"{base}:/x", cwd=tmp_path)


def test_files_of_options_are_the_callers(host: Host, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("SET=in the file\nOWN\n")
    (tmp_path / "labels").write_text("label=of the file\n")
    line = ("run", "-d", "--cidfile", "id", "--env-file", "env", "--label-file", "labels", "busybox", "sleep", "9")
    container = host.out(*line, cwd=tmp_path, env={"OWN": "of the caller"}).strip()
    try:
        assert (tmp_path / "id").read_text() == container
        found = json.loads(host.out("inspect", "-f", "{{json .Config}}", container))
        assert {"SET=in the file", "OWN=of the caller"} <= {*found["Env"]}
        assert found["Labels"] == {"label": "of the file"}
        assert "is there already" in host.fails(*line, cwd=tmp_path)
    finally:
        host("rm", "-f", container)


def test_a_registry_that_the_machine_reaches(host: Host, tmp_path: Path) -> None:
    address = host.guest.host_address
    with registries.registry(tmp_path, password=True, name=address, address=address) as registry:
        name = f"{registry.host}/team/app:1"
        host("tag", "busybox", name)
        host.fails("push", "--insecure", name)
        words = ("login", "--insecure", "-u", registries.USER, "--password-stdin", registry.host)
        host.fails(*words, input="wrong")
        host(*words, input=registries.PASSWORD)
        host("push", "--insecure", name)
        host("rmi", name)
        host("pull", "--insecure", name)
        host("logout", registry.host)
        host.fails("push", "--insecure", name)
        host("rmi", name)


def test_what_is_carried_leaves_nothing_there(host: Host, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nCOPY nowhere /\n")
    host.fails("build", str(tmp_path), code=1)
    (tmp_path / "env").write_text("x")
    host("run", "--rm", "--label-file", str(tmp_path / "env"), "busybox", "true", check=False)
    assert host.guest.run("ls", "-A", "/var/tmp/devbox-carried").stdout == b""
    assert subprocess.check_output(["ls", "-A", tmp_path], text=True).split() == ["Dockerfile", "env"]
