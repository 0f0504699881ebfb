"""The power fails right after a command has said that it is done: what it did is there (SAFETY 13)."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import ENTRY, Box
from tests.engine.registries import Registry, registry
from tests.engine.test_faults import disk, mounted

FILES = 40
COUNT = ("sh", "-c", "cat /many/* | wc -c")
MADE = str(FILES * 5000)


@pytest.fixture(scope="module")
def there(box: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that has an image of many files."""
    with registry(tmp_path_factory.mktemp("registry")) as running:
        script = f"mkdir /many; for i in $(seq {FILES}); do head -c 5000 /dev/zero > /many/$i; done"
        box("run", "--name", "powermany", "busybox", "sh", "-c", script)
        box("commit", "powermany", f"{running.host}/many:1")
        box("push", f"{running.host}/many:1")
        box("rm", "powermany")
        box("rmi", f"{running.host}/many:1")
        yield running


def pull(box: Box, there: Registry, place: Path) -> Callable[[Box], None]:
    box("pull", f"{there.host}/many:1")
    return lambda after: _prints(after, MADE, "run", "--rm", f"{there.host}/many:1", *COUNT)


def build(box: Box, there: Registry, place: Path) -> Callable[[Box], None]:
    context = place / "context"
    (context / "many").mkdir(parents=True)
    for number in range(FILES):
        (context / "many" / str(number)).write_bytes(bytes(5000))
    (context / "Dockerfile").write_text("FROM busybox\nCOPY many /many\nRUN echo made > /made\n")
    box("build", "-t", "built", str(context))
    return lambda after: _prints(
        after, f"{MADE}\nmade", "run", "--rm", "built", "sh", "-c", f"{COUNT[2]}; cat /made"
    )


def commit(box: Box, there: Registry, place: Path) -> Callable[[Box], None]:
    box("run", "--name", "c", "busybox", "sh", "-c", f"mkdir /many; for i in $(seq {FILES}); do "
        "head -c 5000 /dev/zero > /many/$i; done")  # fmt: skip
    box("commit", "c", "committed")
    return lambda after: _prints(after, MADE, "run", "--rm", "committed", *COUNT)


def create(box: Box, there: Registry, place: Path) -> Callable[[Box], None]:
    box("create", "--name", "new", "-v", "/anonymous", "busybox", "echo", "started")
    return lambda after: _prints(after, "started", "start", "-a", "new")


def volume(box: Box, there: Registry, place: Path) -> Callable[[Box], None]:
    box("volume", "create", "data")
    return lambda after: _prints(after, "", "run", "--rm", "-v", "data:/d", "busybox", "touch", "/d/file")


def _prints(box: Box, wanted: str, *words: str) -> None:
    assert box.out(*words) == wanted


@pytest.mark.parametrize("act", [pull, build, commit, create, volume])
def test_it_survives(act: Callable[..., Callable[[Box], None]], there: Registry, tmp_path: Path) -> None:
    image = disk(tmp_path / "disk", 128)
    with mounted(image, tmp_path / "mnt") as place:
        box = Box(place / "root")
        box("bootstrap", "busybox")
        subprocess.run(["sync", "-f", place], check=True)
        look = act(box, there, tmp_path)
        subprocess.run(["cp", "--sparse=always", image, tmp_path / "copy"], check=True)  # what the disk has by now
        box.close()
    with mounted(tmp_path / "copy", tmp_path / "mnt") as place:
        box = Box(place / "root")
        box("check")
        look(box)
        box.close()


def test_a_directory_is_on_the_disk_before_its_row(box: Box, name: str, tmp_path: Path) -> None:
    """ext4 would write both at once; other file systems keep no order but that of our calls."""
    trace = ["strace", "-qq", "-y", "-e", "trace=fsync,fdatasync", "-o", str(tmp_path / "trace")]
    words = ["create", "--name", name, "-v", f"{name}:/data", "busybox", "true"]
    subprocess.run([*trace, *ENTRY, *words], env=box.env, check=True, capture_output=True)
    synced = re.findall(r"<(.*?)>", (tmp_path / "trace").read_text())
    commit = len(synced) - 1 - synced[::-1].index(f"{box.root}/state.db-wal")
    for directory in (f"volumes/{name}", "volumes", "containers"):
        assert f"{box.root}/{directory}" in synced[:commit]
    box("rm", name)
    box("volume", "rm", name)
