"""The main job in a machine: `devbox demo` as it is played on Linux, with this host's files and ports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.machine.vm.conftest import NAME, Vm, kept


def test_the_demo_shows_the_same_in_a_machine(vm: Vm, tmp_path: Path) -> None:
    """Its base image is made on this host: emulated, dpkg would take minutes."""
    shutil.copyfile(
        kept("demo-image.tar.gz", lambda path: make_base_image(path, tmp_path)), vm.home / "demo.tar.gz"
    )
    vm.remote("load", "-i", "demo.tar.gz", timeout=600)
    shown = vm("--machine", NAME, "demo", "--image", "kept/base", timeout=600).stdout
    assert shown.count("   ok: ") == 7
    assert f"-v {vm.home}/src/devbox-demo." in shown.replace("\\\n      ", "")
    assert "Hello from the host: visit 3" in shown
    assert [path.name for path in (vm.home / "src").glob("devbox-demo*")] == []
    assert "devbox-demo" not in vm.remote("ps", "-a").stdout + vm.remote("images").stdout
    vm.remote("rmi", "kept/base")


def make_base_image(path: Path, place: Path) -> None:
    environment = os.environ | {"DEVBOX_ROOT": str(place / "root")}
    devbox = [sys.executable, "-m", "devbox"]
    made = ["bootstrap", "debian:bookworm", "--variant", "essential", "-t", "kept/base"]
    made += ["--include", "redis-server,python3"]
    try:
        subprocess.run([*devbox, *made], env=environment, check=True, timeout=600)
        line = [*devbox, "save", "kept/base"]
        with path.open("wb") as file, subprocess.Popen(line, env=environment, stdout=subprocess.PIPE) as save:
            subprocess.run(["igzip", "-c"], stdin=save.stdout, stdout=file, check=True)
        assert save.returncode == 0
    finally:
        subprocess.run([*devbox, "system", "reset", "-f"], env=environment, check=False)
