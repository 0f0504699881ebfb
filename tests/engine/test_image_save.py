"""save, and what an image is on disk: streams byte for byte, layers that come twice, memory, damage."""

from __future__ import annotations

import gzip
import io
import json
import os
import secrets
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import ENTRY, Box
from tests.engine.image_archives import DIRECTORY, config, docker_archive, member, sha256, tar, tar_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and mounts need root")


@pytest.fixture
def tag(box: Box) -> Iterator[str]:
    """A name for an image that nobody else has."""
    name = f"t{secrets.token_hex(4)}:1"
    yield name
    box("rmi", "-f", name, check=False)


def load(box: Box, path: Path, archive: bytes) -> None:
    path.write_bytes(archive)
    box("load", "-q", "-i", str(path))


def top_layer(box: Box, name: str) -> Path:
    """The directory of an image's topmost layer."""
    return Path(box.json("image", "inspect", name)[0]["GraphDriver"]["Data"]["UpperDir"]).parent


def fresh(**files: bytes) -> bytes:
    """A layer that no other test has."""
    return tar_of({"unique": secrets.token_bytes(8), **files})


def busybox_layer(box: Box) -> bytes:
    saved = subprocess.run([*ENTRY, "save", "busybox"], env=box.env, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        manifest = json.loads(content(archive, "manifest.json"))
        return content(archive, manifest[0]["Layers"][0])


def content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file
    return file.read()


def test_a_foreign_stream_is_written_again_byte_for_byte(box: Box, tag: str, tmp_path: Path) -> None:
    """GNU headers, names in no order, an entry that replaces another, rubbish after the end."""
    foreign = tar(member("z", b"1" * 700, uname="me"), member("a", b"2"), form=tarfile.GNU_FORMAT) + b"tail" * 300
    twice = tar(member("a", b"old"), member("a", b"new"), member("b/c", b"3"), form=tarfile.GNU_FORMAT)
    load(box, tmp_path / "a", docker_archive([foreign, twice], tag))
    box("save", "-o", str(tmp_path / "b"), tag)
    with tarfile.open(tmp_path / "b") as archive:
        for layer in (foreign, twice):
            assert content(archive, "blobs/" + sha256(layer).replace(":", "/")) == layer
    assert "in order" in box.out("check")


def test_a_stream_of_our_own_needs_no_frame(box: Box, tag: str, tmp_path: Path) -> None:
    load(box, tmp_path / "a", docker_archive([busybox_layer(box), fresh()], tag))
    assert not (top_layer(box, "busybox") / "frame").exists()


def test_save_is_reproducible_and_takes_a_repository_as_all_its_tags(box: Box, tag: str, tmp_path: Path) -> None:
    second = tag.partition(":")[0] + ":2"
    box("tag", "busybox", tag)
    box("tag", "busybox", second)
    for name in ("a", "b"):
        box("save", "-o", str(tmp_path / name), tag.partition(":")[0])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    box("rmi", tag, second)
    out = box.out("load", "-q", "-i", str(tmp_path / "a"))
    assert out.splitlines() == [f"Loaded image: {tag}", f"Loaded image: {second}"]
    box("rmi", second)


def test_a_failed_save_leaves_no_file(box: Box, tag: str, tmp_path: Path) -> None:
    load(box, tmp_path / "a", docker_archive([fresh(hello=b"hello")], tag))
    (top_layer(box, tag) / "diff/hello").write_text("HELLO")
    out = str(tmp_path / "out")
    assert "altered" in box.fails("save", "-o", out, tag)
    assert "no such image" in box.fails("save", "-o", out, "nothing")
    assert "cannot write" in box.fails("save", "-o", str(tmp_path / "none/out"), "busybox")
    assert "format" in box.fails("save", "--format", "zip", "-o", out, "busybox")
    assert "compression" in box.fails("save", "--compress", "rar", "-o", out, "busybox")
    assert os.listdir(tmp_path) == ["a"]


def test_an_existing_file_is_replaced_when_all_is_written(box: Box, tag: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("what was there")
    box.fails("save", "-o", str(out), "busybox", "nothing")
    assert out.read_text() == "what was there"
    box("save", "-o", str(out), "busybox")
    assert tarfile.is_tarfile(out)
    box("save", "-o", "/dev/null", "busybox")
    assert not os.path.isfile("/dev/null")


def test_terminals_are_for_people(box: Box) -> None:
    for command, words in (("save busybox", b"terminal"), ("load", b"wanted on stdin")):
        argv = ["script", "-qec", " ".join([*ENTRY, command]), "/dev/null"]
        done = subprocess.run(argv, env=box.env, capture_output=True, stdin=subprocess.DEVNULL, check=False)
        assert words in done.stdout


def test_deletions_and_layers_that_come_twice(box: Box, tag: str, tmp_path: Path) -> None:
    data = tar(member("d", type=DIRECTORY), member("d/a", b"1"), member("d/b", b"2"))
    gone = tar(member("d/.wh.a"), member("e/.wh..wh..opq"))
    layers = [busybox_layer(box), data, gone, data, gone]
    document = config(layers, {"Env": ["PATH=/bin"]})
    load(box, tmp_path / "a", docker_archive(layers, tag, document=document))
    assert box.out("run", "--rm", "--network", "none", tag, "ls", "/d") == "b"
    box("save", "-o", str(tmp_path / "b"), tag)
    box("rmi", tag)
    box("load", "-q", "-i", str(tmp_path / "b"))
    assert box.out("run", "--rm", "--network", "none", tag, "ls", "/d") == "b"


MEASURE = """\
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""


def peak_of(box: Box, *args: str) -> int:
    """The peak memory in MiB of a command; not as a child of ours, which would count what we have as its own."""
    argv = [sys.executable, "-c", MEASURE, *ENTRY, *args]
    return int(subprocess.run(argv, env=box.env, capture_output=True, check=True).stdout)


def zeros(size: int) -> bytes:
    """A compressed layer of one file of zeros."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=1) as file:
        file.write(member("zeros", size=size)[0].tobuf())
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return stream.getvalue()


def test_memory_stays_flat_for_one_large_file(box: Box, tag: str, tmp_path: Path) -> None:
    layer = zeros(200 << 20)
    path = tmp_path / "a"
    path.write_bytes(docker_archive([layer], tag, document=config([gzip.decompress(layer)])))
    assert peak_of(box, "load", "-q", "-i", str(path)) < 64
    assert peak_of(box, "save", "-o", str(path), tag) < 64


def test_memory_stays_flat_for_many_files(box: Box, tag: str, tmp_path: Path) -> None:
    headers = (member(f"d{number % 7}/{number:080}", mtime=1)[0].tobuf() for number in range(10_000))
    (tmp_path / "a").write_bytes(docker_archive([b"".join(headers) + bytes(1024)], tag))
    assert peak_of(box, "load", "-q", "-i", str(tmp_path / "a")) < 64


def test_a_damaged_layer_is_told_and_loading_again_mends_it(box: Box, tag: str, tmp_path: Path) -> None:
    archive = docker_archive([fresh(hello=b"hello")], tag)
    load(box, tmp_path / "a", archive)
    file = top_layer(box, tag) / "diff/hello"
    file.chmod(0o600)
    for words in (("check",), ("check", "--repair")):
        done = box(*words, check=False)
        assert done.returncode != 0
        assert f"of {tag} was altered" in done.stdout
    load(box, tmp_path / "a", archive)
    assert (top_layer(box, tag) / "diff/hello").stat().st_mode & 0o777 == 0o644
    box("check", "--repair", check=False)
    assert "in order" in box.out("check")
    assert not file.exists()
