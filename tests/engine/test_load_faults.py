"""load and bootstrap killed, without room or descriptors, at a power cut, and many at once (SAFETY 13-16)."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import ENTRY, Box
from tests.engine.image_archives import docker_archive, member, tar
from tests.engine.test_crash import killed_at
from tests.engine.test_faults import clients, disk, mounted

# (system call, how many of them are let through): places all along the way
LOAD_KILLS = [
    ("rename", 0), ("flock", 1), ("mkdirat", 9), ("linkat", 100), ("unlink", 0), ("syncfs", 0), ("rename", 1),
    ("rename", 2), ("fsync", 0), ("pwrite64", 5), ("fdatasync", 0), ("unlinkat", 0),
]  # fmt: skip
BOOTSTRAP_KILLS = [
    ("linkat,link", 9), ("syncfs", 0), ("rename", 1), ("fsync", 0), ("fdatasync", 0),
]  # fmt: skip
KEPT = tar(member("kept", b"kept"))
NOISE = os.urandom(24 << 20)
SCRIPT = ("--network", "none", "app", "cat", "/marker")


@pytest.fixture(scope="module")
def archive(box: Box, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image that runs, of two layers."""
    path = tmp_path_factory.mktemp("archive")
    box("save", "-o", str(path / "busybox"), "busybox")
    with tarfile.open(path / "busybox") as saved:
        file = saved.extractfile(saved.getmembers()[0])
        assert file is not None
        layers = [file.read(), tar(member("marker", b"loaded"))]
    (path / "app").write_bytes(docker_archive(layers, "app:latest"))
    return path / "app"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A store with another image in it, which nothing may touch."""
    box = Box(tmp_path_factory.mktemp("faults"))
    (box.root.parent / "kept").write_bytes(docker_archive([KEPT], "kept:1"))
    box("load", "-i", str(box.root.parent / "kept"))
    yield box
    box.close()


@pytest.fixture
def quiet(store: Box) -> Iterator[Box]:
    """The same; whatever a test adds is removed again."""
    yield store
    store("rmi", "-f", "app", "busybox", check=False)


def in_order(box: Box) -> bool:
    """Nothing is half done, nothing is surplus, and what was there is whole."""
    shown = box.out("images", "--format", "{{.Repository}}").split()
    assert "kept" in shown
    assert nothing_half_done(box)
    assert box.out("check") == "the store is in order"
    rows = {str(row) for row in range(1, 10_000) if (box.root / "layers" / str(row)).is_dir()}
    assert set(os.listdir(box.root / "layers")) == rows
    return True


def nothing_half_done(box: Box) -> bool:
    return not any(any(path.iterdir()) for path in (box.root / "tmp").iterdir())  # an empty one stays a minute


@pytest.mark.parametrize(("call", "after"), LOAD_KILLS)
def test_load_killed(quiet: Box, archive: Path, call: str, after: int) -> None:
    code = killed_at(quiet, call, after, "load", "-q", "-i", str(archive))
    assert code in (0, -9, 137)
    assert in_order(quiet)
    quiet("load", "-q", "-i", str(archive))
    assert quiet.out("run", "--rm", *SCRIPT) == "loaded"


@pytest.mark.parametrize(("call", "after"), BOOTSTRAP_KILLS)
def test_bootstrap_killed(quiet: Box, call: str, after: int) -> None:
    code = killed_at(quiet, call, after, "bootstrap", "busybox")
    assert code in (0, -9, 137)
    assert in_order(quiet)
    quiet("bootstrap", "busybox")
    assert quiet.out("run", "--rm", "--network", "none", "busybox", "echo", "works") == "works"


def test_the_kills_hit(quiet: Box, archive: Path) -> None:
    assert killed_at(quiet, "syncfs", 0, "load", "-q", "-i", str(archive)) in (-9, 137)
    assert "app" not in quiet.out("images")


def test_few_descriptors(quiet: Box, archive: Path) -> None:
    """From what Python itself needs on, load either works or says why not."""
    refused = 0
    for limit in (8, 10, 12, 14, 16, 18, 24, 64):
        argv = ["prlimit", f"--nofile={limit}", *ENTRY, "load", "-q", "-i", str(archive)]
        done = subprocess.run(argv, env=quiet.env, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in done.stderr
        if done.returncode:
            refused += 1
            assert "too many open files" in done.stderr
            quiet("images")
            assert os.listdir(quiet.root / "layers") == ["1"]
            assert nothing_half_done(quiet)
    assert 0 < refused < 8


def test_sixteen_loads_of_one_archive(quiet: Box, archive: Path) -> None:
    results = clients(quiet, 16, "load", "-q", "-i", str(archive))
    assert results == [(0, "")] * 16
    assert len(os.listdir(quiet.root / "layers")) == 3
    assert quiet.out("run", "--rm", *SCRIPT) == "loaded"


def test_load_while_others_prune_and_remove(quiet: Box, archive: Path) -> None:
    """What load says is loaded can be run, unless somebody removed it by name."""
    with contextlib.ExitStack() as stack:
        words = "while [ -e going ]; do $0 image prune -f; $0 rmi app; done >/dev/null 2>&1"
        (archive.parent / "going").touch()
        shell = ["sh", "-c", words.replace("$0", " ".join(ENTRY))]
        others = [subprocess.Popen(shell, env=quiet.env, cwd=archive.parent) for _ in range(2)]
        stack.callback(lambda: [other.wait(timeout=60) for other in others])
        stack.callback((archive.parent / "going").unlink)
        for _ in range(5):
            quiet("load", "-q", "-i", str(archive))
    assert in_order(quiet)
    quiet("load", "-q", "-i", str(archive))
    assert quiet.out("run", "--rm", *SCRIPT) == "loaded"


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_a_full_disk(tmp_path: Path, archive: Path, way: str) -> None:
    (tmp_path / "big").write_bytes(docker_archive([NOISE_LAYER], "big:1"))
    with mounted(disk(tmp_path / "disk", 48), tmp_path / "mnt") as place:
        box = Box(place / "root")
        box("load", "-q", "-i", str(archive))
        before = shutil.disk_usage(place).free
        (place / "ballast").write_bytes(bytes(before - (20 << 20)))
        argv = [*ENTRY, "load", "-q"] + (["-i", str(tmp_path / "big")] if way == "file" else [])
        with (tmp_path / "big").open("rb") as file:
            cat = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
            done = subprocess.run(
                argv, stdin=cat.stdout, env=box.env, capture_output=True, text=True, timeout=60, check=False
            )
            assert cat.stdout is not None
            cat.stdout.close()
            cat.wait(timeout=10)
        assert done.returncode == 125, done.stderr
        assert "no space left" in done.stderr
        assert len(done.stderr.splitlines()) <= 2
        assert os.listdir(box.root / "tmp") == []
        assert shutil.disk_usage(place).free > (19 << 20), "what was taken is given back"
        assert box.out("run", "--rm", *SCRIPT) == "loaded"
        (place / "ballast").unlink()
        if way == "file":
            assert box.out("load", "-q", "-i", str(tmp_path / "big")) == "Loaded image: big:1"
        assert box.out("check") == "the store is in order"
        box.close()


NOISE_LAYER = tar(member("noise", NOISE))


def test_a_loaded_image_survives_a_power_cut(tmp_path: Path, archive: Path) -> None:
    image = disk(tmp_path / "disk", 64)
    (tmp_path / "big").write_bytes(docker_archive([KEPT, NOISE_LAYER], "big:1"))
    with mounted(image, tmp_path / "mnt") as place:
        box = Box(place / "root")
        for path in (archive, tmp_path / "big"):
            box("load", "-q", "-i", str(path))
        shutil.copyfile(image, tmp_path / "copy")  # what has reached the disk at this moment
        box.close()
    with mounted(tmp_path / "copy", tmp_path / "mnt") as place:
        box = Box(place / "root")
        assert box.out("check") == "the store is in order"
        assert box.out("run", "--rm", *SCRIPT) == "loaded"
        box("save", "-o", "/dev/null", "big:1")
        box.close()
