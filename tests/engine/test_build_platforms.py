"""Builds for other platforms than this machine's: bases, interpreted programs, several at once, annotations."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devbox.build.executing import emulation
from tests.engine.builds import Builder
from tests.engine.conftest import Box
from tests.engine.image_archives import config, tar_of
from tests.engine.registries import Liar, Registry, registry, serving

BINFMT = Path("/proc/sys/fs/binfmt_misc")
QEMU = shutil.which("qemu-aarch64-static")
STRANGE = next((name for name in ("s390x", "riscv64", "ppc64le") if not emulation.runs(name)), "")
BOTH = ("--platform", "linux/arm64,linux/amd64")
SAYING = b"I am for arm64\n"


def foreign_program() -> bytes:
    """An ELF program for arm64 of eight instructions: write(1, SAYING), exit(0)."""
    code = [0xD2800020, 0x10000001 | 7 << 5, 0xD2800002 | len(SAYING) << 5, 0xD2800808, 0xD4000001]
    body = struct.pack("<8I", *code, 0xD2800000, 0xD2800BA8, 0xD4000001) + SAYING
    start, size = 0x400078, 120 + len(body)
    head = b"\x7fELF\2\1\1" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, start, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 0x1000) + body


@pytest.fixture
def build(box: Box, tmp_path: Path, name: str) -> Iterator[Builder]:
    builder = Builder(box, tmp_path / "context", name)
    builder.write({"tool": foreign_program()})
    (builder.place / "tool").chmod(0o755)
    yield builder
    box("rmi", "-f", name, check=False)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def interpreter() -> Iterator[None]:
    """While a test runs, the kernel hands programs for arm64 to Debian's qemu."""
    if QEMU is None:
        pytest.skip("qemu-user-static is not installed")
    mounted = (BINFMT / "register").exists()
    if not mounted:
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
    with contextlib.ExitStack() as stack:
        if not mounted:
            stack.callback(lambda: subprocess.run(["umount", BINFMT], check=True))
        if not emulation.runs("arm64"):
            rule = Path("/usr/lib/binfmt.d/qemu-aarch64.conf").read_text().strip()
            magic = rule.split(":", 2)[2].rpartition(":")[0].rpartition(":")[0]
            (BINFMT / "register").write_text(f":devbox-test:{magic}:{QEMU}:OCF")
            stack.callback((BINFMT / "devbox-test").write_text, "-1")
        yield


def inspected(box: Box, name: str, field: str) -> Any:
    return json.loads(box.out("image", "inspect", "-f", "{{json ." + field + "}}", name))


def test_files_are_copied_for_any_platform_and_programs_run_where_the_kernel_can(build: Builder) -> None:
    if not STRANGE:
        pytest.skip("this machine runs programs of every architecture")
    stage = (
        "FROM scratch\nCOPY tool /tool\nARG TARGETPLATFORM BUILDPLATFORM\nENV P=$TARGETPLATFORM B=$BUILDPLATFORM\n"
    )
    build(stage, "--platform", STRANGE)
    assert inspected(build.box, build.name, "Architecture") == STRANGE
    assert {f"P=linux/{STRANGE}", "B=linux/amd64"} <= set(inspected(build.box, build.name, "Config.Env"))
    error = build.fails(stage + 'RUN ["/tool"]\n', "--platform", f"linux/{STRANGE}")
    assert f"Dockerfile:5: this machine does not run programs for linux/{STRANGE}" in error
    assert "qemu-" in error
    assert "--platform=$BUILDPLATFORM" in error


@pytest.mark.usefixtures("interpreter")
def test_a_program_of_another_architecture_is_interpreted(build: Builder) -> None:
    text = 'FROM scratch\nCOPY tool /tool\nRUN ["/tool"]\nCMD ["/tool"]\n'
    assert SAYING.decode().strip() in build(text, "--platform", "linux/arm64/v8")
    assert build.run(options=("--platform", "linux/arm64")) == SAYING.decode().strip()


def test_what_is_built_here_is_for_there(build: Builder) -> None:
    """The way in which Dockerfiles cross-compile."""
    build(
        "FROM --platform=$BUILDPLATFORM busybox AS compiler\nARG TARGETARCH TARGETVARIANT\n"
        "RUN echo $(uname -m) for $TARGETARCH $TARGETVARIANT > /made\n"
        "FROM scratch\nCOPY --from=compiler /made /made\n",
        *("--platform", "linux/arm/v7", "-o", str(build.place / "out")),
    )
    assert (build.place / "out/made").read_text() == f"{os.uname().machine} for arm v7\n"


def test_a_foreign_base_leaves_the_name_to_this_machine(fresh_box: Box, tmp_path: Path, there: Registry) -> None:
    base = f"{there.host}/base:1"
    build = Builder(fresh_box, tmp_path / "base", base)
    build("FROM scratch\nARG TARGETARCH\nENV FOR=$TARGETARCH\nCOPY <<EOT /file\nx\nEOT\n", *BOTH, "--push")
    own = fresh_box.out("image", "inspect", "-f", "{{.Architecture}} {{.Id}}", base)
    fresh_box("rmi", base)
    fresh_box("image", "prune", "-f")
    fresh_box("pull", "-q", base)
    child = Builder(fresh_box, tmp_path / "child", "child")
    text = f"FROM {base}\nLABEL a=b\n"
    child(text, "--platform", "linux/arm64")
    there.forget_requests()
    for architecture in ("amd64", "arm64"):
        child(text, "--platform", f"linux/{architecture}")
        assert f"FOR={architecture}" in inspected(fresh_box, "child", "Config.Env")
        assert fresh_box.out("image", "inspect", "-f", "{{.Architecture}} {{.Id}}", base) == own
    assert not there.requests("GET"), "both images of the name are here"
    child(text, "--platform", "linux/arm64", "--pull")
    assert there.requests("GET /v2/base/manifests/1")
    assert fresh_box.out("image", "inspect", "-f", "{{.Architecture}} {{.Id}}", base) == own
    error = child.fails(text, "--platform", "linux/s390x", code=125)
    assert f"image {base} is not for the platform linux/s390x: it is for linux/amd64" in error
    assert "it has linux/arm64, linux/amd64" in error


def test_a_base_that_is_for_another_platform_only_is_warned_of(fresh_box: Box, tmp_path: Path) -> None:
    files = tar_of({"file": b"x"})
    liar = Liar([files])
    liar.config = liar.add(config([files], architecture="arm64"))
    liar.manifest["config"] |= liar.config
    with serving(liar):
        build = Builder(fresh_box, tmp_path / "context", "child")
        said = build(f"FROM {liar.host}/x:1\nLABEL a=b\n")
        error = build.fails(f"# check=error=true\nFROM {liar.host}/x:1\nLABEL a=b\n", code=125)
    message = f'Base image {liar.host}/x:1 was pulled with platform "linux/arm64", expected "linux/amd64"'
    assert f"InvalidBaseImagePlatform: {message} for current build (line 1)" in said
    assert "lint violation found for rules: InvalidBaseImagePlatform" in error
    assert inspected(fresh_box, "child", "Architecture") == "arm64"


SEVERAL = "FROM scratch\nARG TARGETARCH\nENV FOR=$TARGETARCH\nCOPY tool /tool\n"


def test_several_platforms_become_an_index(build: Builder, there: Registry, fresh_box: Box) -> None:
    full = f"{there.host}/several:1"
    texts = ("a=1", "index:who=me", "manifest,manifest-descriptor[linux/arm64]:b=2=3", "index-descriptor:z=9")
    words = [word for text in texts for word in ("--annotation", text)]
    archive = build.place.parent / "several.tar"
    named = Builder(build.box, build.place, full)
    said = named(SEVERAL, *BOTH, "--push", "-o", f"type=oci,dest={archive}", *words)
    assert "[linux/arm64 2/2] COPY tool /tool" in said
    raw = skopeo("inspect", "--raw", f"docker://{full}")
    assert [entry["platform"]["architecture"] for entry in raw["manifests"]] == ["arm64", "amd64"]
    assert raw["annotations"] == {"who": "me"}
    assert [entry.get("annotations") for entry in raw["manifests"]] == [{"b": "2=3"}, None]
    for architecture in ("amd64", "arm64"):
        fresh_box("pull", "-q", "--platform", architecture, full)
        assert f"FOR={architecture}" in inspected(fresh_box, full, "Config.Env")
        one = f"docker://{full.rpartition(':')[0]}@{raw['manifests'][architecture == 'amd64']['digest']}"
        assert skopeo("inspect", "--raw", one)["annotations"] == {"a": "1", "b": "2=3"}
    (entry,) = archived(archive, "index.json")["manifests"]
    assert entry["annotations"]["z"] == "9"
    fresh_box("rmi", full)
    fresh_box("load", "-q", "-i", str(archive))
    assert inspected(fresh_box, full, "Architecture") == "amd64"
    assert inspected(build.box, full, "Architecture") == "amd64", "the name means what runs here"
    build.box("rmi", full)


def archived(path: Path, name: str) -> Any:
    with tarfile.open(path) as reader:
        file = reader.extractfile(name)
        assert file is not None
        return json.load(file)


def skopeo(command: str, *words: str) -> Any:
    done = subprocess.run(
        ["skopeo", command, "--tls-verify=false", *words], check=True, capture_output=True, timeout=60
    )
    return json.loads(done.stdout)


def test_files_of_several_platforms_lie_side_by_side(build: Builder) -> None:
    build(SEVERAL, *BOTH, "-o", str(build.place / "out"))
    assert sorted(os.listdir(build.place / "out")) == ["linux_amd64", "linux_arm64"]
    error = build.fails(SEVERAL, *BOTH, "-o", "type=tar,dest=x.tar", code=125)
    assert "such an archive has room for one platform" in error


def test_annotations_go_where_the_image_goes(build: Builder, there: Registry) -> None:
    full = f"{there.host}/annotated:1"
    archive = build.place.parent / "one.tar"
    words = ("--annotation", "a=1", "--annotation", "manifest-descriptor:b=2")
    named = Builder(build.box, build.place, full)
    named(SEVERAL, *words, "-o", f"type=oci,dest={archive}")
    entry = archived(archive, "index.json")["manifests"][0]
    assert entry["annotations"]["b"] == "2"
    assert archived(archive, "blobs/" + entry["digest"].replace(":", "/"))["annotations"] == {"a": "1"}
    build.box("push", full)
    assert skopeo("inspect", "--raw", f"docker://{full}")["annotations"] == {"a": "1"}
    named(SEVERAL, "--push")
    assert "annotations" not in skopeo("inspect", "--raw", f"docker://{full}")
    build.box("rmi", full)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--annotation", "a"), "invalid --annotation 'a'"),
        (("--annotation", "nosuch:a=b"), "there is no type 'nosuch'"),
        (("--annotation", "index:a=b"), "there is no index to annotate: one platform is built"),
        ((*BOTH, "--annotation", "index[linux/arm64]:a=b"), "an index is of no platform"),
        (("--platform", "windows/amd64"), "images for 'windows/amd64' cannot be used here"),
        (("--platform", "linux/a/b/c"), "invalid platform: 'linux/a/b/c'"),
    ],
)
def test_what_is_refused(build: Builder, words: tuple[str, ...], said: str) -> None:
    assert said in build.fails(SEVERAL, *words, code=125)
