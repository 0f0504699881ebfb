"""A mirror in a real machine: its events, its speed, and what becomes of it when the machine starts anew."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.machine.vm.conftest import USER, Vm
from tests.machine.vm.watching import watching

MANY = """
import os, shutil, sys, time
def seconds(directory):
    os.makedirs(directory)
    began = time.perf_counter()
    for number in range(2000):
        with open(f"{directory}/{number}", "w") as file:
            file.write("x" * 100)
    return time.perf_counter() - began
ratios = []
for turn in range(2):
    mirror, disk = seconds(f"{sys.argv[1]}/{turn}"), seconds(f"/root/{turn}")
    ratios.append(mirror / disk)
    shutil.rmtree(f"/root/{turn}")
print(min(ratios))
"""


@pytest.fixture(scope="module")
def mirrored(vm: Vm) -> Iterator[Path]:
    directory, settings = vm.home / "mirrored", vm.home / ".config/devbox/machines.toml"
    directory.mkdir()
    os.chown(directory, USER, USER)
    before = settings.read_text()
    settings.write_text(f'{before}mirrors = ["{directory}"]\n')
    vm("machine", "up", timeout=600)
    yield directory
    settings.write_text(before)
    vm("machine", "up", timeout=600)


def test_a_container_is_told_of_all_that_happens_here(vm: Vm, mirrored: Path, image: str) -> None:
    times: list[float] = []

    def happens(change: Callable[[], object], *wanted: str) -> None:
        time.sleep(2)  # Unison rests for a second after each round
        began, missing = time.monotonic(), {*wanted}
        change()
        while missing:
            missing.discard(told.get(timeout=30))
        times.append(time.monotonic() - began)

    file = mirrored / "file"
    with watching(vm, mirrored) as told:
        happens(lambda: file.write_text("1"), "MOVED_TO file")
        happens(lambda: file.write_text("12"), "MOVED_TO file")
        happens(lambda: file.rename(mirrored / "other"), "MOVED_TO other", "DELETE file")
        happens((mirrored / "other").unlink, "DELETE other")
        vm.remote("exec", "watching", "/usr/bin/touch", "/watched/own")
        time.sleep(3)
        own = []
        try:
            while True:
                own.append(told.get(timeout=0.1))
        except queue.Empty:
            assert own == ["CREATE own"], "nothing comes back"
    assert (mirrored / "own").exists()
    assert min(times) < 1.0, times


def test_files_are_made_there_as_fast_as_on_its_disk(vm: Vm, mirrored: Path, image: str) -> None:
    (vm.home / "src/many.py").write_text(MANY)
    said = vm("machine", "ssh", "sudo", "python3", str(vm.home / "src/many.py"), str(mirrored / "many")).stdout
    assert float(said) <= 1.3
    deadline = time.monotonic() + 60
    while len([*mirrored.glob("many/*/*")]) < 4000:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_owners_there_are_real_and_a_restart_keeps_all(vm: Vm, mirrored: Path, image: str) -> None:
    line = ("run", "--rm", "--network", "none", "-v", "./mirrored:/src", image)
    vm.remote(*line, "sh", "-c", "echo 1 >/src/theirs; /bin/busybox chown 70:70 /src/theirs")
    vm("machine", "halt")
    (mirrored / "meanwhile").write_text("here")
    vm("machine", "up", timeout=600)
    assert vm.remote(*line, "sh", "-c", "stat -c %u:%g /src/theirs; cat /src/meanwhile").stdout == "70:70\nhere"
    assert (mirrored / "theirs").read_text() == "1\n"
    assert [each["state"] for each in vm.json("machine", "mirror")] == ["in step"]
