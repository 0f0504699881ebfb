"""Hostile root file systems through the command line: refused in one line with nothing left, or harmless."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import ENTRY, Box

Entry = tuple[str, bytes, str]
LINK, FIFO, FILE, DIRECTORY = tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.REGTYPE, tarfile.DIRTYPE


@pytest.fixture
def image(box: Box, name: str, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Makes an image of busybox with these entries in place of its own."""
    reference = f"{name}-image"

    def make(*entries: Entry, change: str = "") -> str:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            names = {entry[0] for entry in entries}
            for directory in ("bin", "dev", "etc", "proc", "sys"):
                if directory not in names:
                    _add(tar, (directory, DIRECTORY, ""))
            with open("/bin/busybox", "rb") as program:
                own = tar.gettarinfo(arcname="bin/busybox", fileobj=program)
                tar.addfile(own, program)
            for applet in ("sh", "cat", "id", "ls", "pwd", "true"):
                _add(tar, (f"bin/{applet}", LINK, "busybox"))
            for entry in entries:
                _add(tar, entry)
        path = tmp_path / "image.tar"
        path.write_bytes(archive.getvalue())
        box("import", *(("--change", change) if change else ()), str(path), reference)
        return reference

    yield make
    box("rm", "-f", name, check=False)
    box("rmi", reference, check=False)


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    member = tarfile.TarInfo(entry[0])
    member.type, member.mode = entry[1], 0o755
    data = b""
    if entry[1] == FILE:
        data = entry[2].encode()
        member.size = len(data)
    else:
        member.linkname = entry[2]
    tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host with one file, neither of which may change."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "kept").write_text("of the host\n")
    yield place
    assert os.listdir(place) == ["kept"]
    assert (place / "kept").read_text() == "of the host\n"


@pytest.mark.parametrize("directory", ["dev", "etc", "proc", "sys"])
def test_a_link_for_a_system_directory(box: Box, image: Callable[..., str], outside: Path, directory: str) -> None:
    reference = image((directory, LINK, f"../../../../../../..{outside}"))
    assert f"/{directory} of the image is not a directory" in box.fails("run", "--rm", reference, "true")


@pytest.mark.parametrize(("kind", "file"), [(FIFO, "hosts"), (DIRECTORY, "resolv.conf"), (FIFO, "hostname")])
def test_no_regular_file_for_the_network(box: Box, image: Callable[..., str], file: str, kind: bytes) -> None:
    error = box.fails("run", "--rm", image((f"etc/{file}", kind, "")), "true", timeout=10)
    assert f"/etc/{file}" in error


def test_a_link_for_a_network_file_leads_nowhere(box: Box, image: Callable[..., str], outside: Path) -> None:
    files = [f"etc/{name}" for name in ("hosts", "resolv.conf", "hostname")]
    reference = image(*((file, LINK, f"../../../../../../..{outside}/kept") for file in files))
    assert "of the host" not in box.out("run", "--rm", reference, "cat", *(f"/{file}" for file in files))


@pytest.mark.parametrize("file", ["passwd", "group"])
def test_a_fifo_for_accounts_does_not_block(box: Box, image: Callable[..., str], file: str) -> None:
    error = box.fails("run", "--rm", image((f"etc/{file}", FIFO, "")), "true", timeout=10)
    assert f"/etc/{file} of the image is not a regular file" in error


def test_endless_accounts(box: Box, image: Callable[..., str]) -> None:
    reference = image(("etc/passwd", FILE, "a:x:1:1::/:/bin/sh\n" * 300_000))
    assert "larger than" in box.fails("run", "--rm", reference, "true")


ACCOUNTS = "big:x:4294967295:4294967295::/:/bin/sh\nneg:x:-1:0::/:/bin/sh\nsum:x:4294967296:0::/:/bin/sh\n"


IDS = ("4294967295", "-1", "+0", "2147483648", "0:4294967295", "0:-1", "9" * 30)


def test_no_number_becomes_root(box: Box, image: Callable[..., str], name: str) -> None:
    reference = image(("etc/passwd", FILE, ACCOUNTS), ("etc/group", FILE, "g:x:4294967295:big\n"))
    box("run", "-d", "--name", name, reference, "cat", "/dev/zero")
    for user in IDS:
        assert "invalid id" in box.fails("exec", f"--user={user}", name, "id")
        assert "invalid id" in box.fails("create", f"--user={user}", reference, "id")
        assert "invalid id" in box.fails("create", f"--group-add={user.rpartition(':')[2]}", reference, "id")
    for user in ("big", "neg", "sum", "0:g"):
        assert "unable to find" in box.fails("run", "--rm", f"--user={user}", reference, "id")
        assert "unable to find" in box.fails("exec", f"--user={user}", name, "id")


def test_no_number_of_an_image_becomes_root(box: Box, image: Callable[..., str]) -> None:
    assert "invalid id" in box.fails("run", "--rm", image(change="USER 0:4294967295"), "id")


PLACES = ("/proc/self/fd/3", "/proc/1/root", "/dev/fd/5", "/sys/../proc/self/cwd", "/link", "/proc/thread-self")


def test_a_working_directory_never_leads_out(
    box: Box, image: Callable[..., str], name: str, outside: Path
) -> None:
    reference = image(("link", LINK, "/proc/self/fd/7"), ("up", LINK, f"../../../../../../..{outside}"))
    box("run", "-d", "--name", name, reference, "cat", "/dev/zero")
    fd = os.open(outside, os.O_RDONLY)
    try:
        for place in PLACES:
            for words in (["run", "--rm", "-w", place, reference], ["exec", "-w", place, name]):
                command = [*ENTRY, *words, "ls"]
                done = subprocess.run(command, env=box.env, pass_fds=(fd,), capture_output=True, check=False)
                assert done.returncode == 125
                assert b"no process may start" in done.stderr
    finally:
        os.close(fd)
    assert "kept" not in box.out("run", "--rm", "-w", "/up", reference, "ls")


def test_no_mount_hides_what_protects(box: Box, image: Callable[..., str], tmp_path: Path) -> None:
    reference = image(("link", LINK, "proc/sys"))
    for target in ("/", "/proc", "/proc/sys/kernel", "/sys", "//proc", "/x/../proc/1", "/link"):
        for words in (("-v", f"{tmp_path}:{target}"), ("--tmpfs", target)):
            assert "nothing can be mounted" in box.fails("run", "--rm", *words, reference, "true")


def test_a_mount_target_that_leads_out(box: Box, image: Callable[..., str], outside: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    reference = image(("data", LINK, f"../../../../../../..{outside}"))
    script = "echo of the container > /data/new && cat /proc/mounts"
    assert "/source" not in box.out("run", "--rm", reference, "sh", "-c", "cat /proc/mounts")
    box("run", "--rm", "-v", f"{source}:/data", reference, "sh", "-c", script)
    assert os.listdir(source) == ["new"]


@pytest.mark.parametrize("limit", [14, 20])
def test_few_descriptors_are_told_as_what_they_are(box: Box, name: str, limit: int) -> None:
    before = set(os.listdir(box.root / "containers"))
    code = "import os, resource, sys; n = int(sys.argv[1]); resource.setrlimit(resource.RLIMIT_NOFILE, (n, n));"
    code += "os.execv(sys.argv[2], sys.argv[2:])"
    words = [sys.executable, "-c", code, str(limit), *ENTRY, "run", "--rm", "--name", name, "busybox", "true"]
    done = subprocess.run(words, env=box.env, capture_output=True, text=True, check=False)
    assert done.returncode == 125
    assert "too many open files" in done.stderr.lower()
    assert "Traceback" not in done.stderr
    box("ps")
    assert set(os.listdir(box.root / "containers")) == before
    assert not os.listdir(box.root / "tmp")


def test_labels_of_an_image_do_not_command_the_runtime(box: Box, name: str) -> None:
    """crun obeys annotations, and takes hooks, a seccomp filter, a systemd scope from some."""
    orders = {"run.oci.seccomp_bpf_data": "AAAA", "run.oci.handler": "krun", "run.oci.keep_original_groups": "1"}
    changes = [word for key, value in orders.items() for word in ("-c", f"LABEL {key}={value}")]
    box("run", "--name", name, "busybox", "true")
    box("commit", *changes, name, "labelled")
    box("rm", name)
    container = box.out("run", "-d", "--name", name, "labelled", "sleep", "1000")
    assert orders.items() <= box.json("inspect", "-f", "{{json .Config.Labels}}", name).items()
    document = json.loads((box.root / "run/containers" / container / "config.json").read_text())
    assert document["annotations"].get("run.oci.seccomp_bpf_data") != "AAAA"
    assert document["annotations"].keys() <= {"run.oci.seccomp_bpf_data"}
    assert "hooks" not in document
    box("rm", "-f", name)
    box("rmi", "labelled")
