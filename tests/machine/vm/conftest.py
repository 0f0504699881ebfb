"""A real virtual machine, made by Vagrant and QEMU as an unprivileged user without KVM; one for the whole run.

It takes root to build the box and to become that user. Nothing is left but the box, which is kept in
DEVBOX_TEST_CACHE (/var/cache/devbox-test) under a name made of everything that it is built from.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[3]
USER = 65534
NAME = "vm"
PROGRAMS = ("vagrant", "libvirtd", "virsh", "qemu-img", "qemu-system-x86_64", "mmdebstrap")
APPLETS = ("sh", "cat", "id", "ls", "rm", "mkdir", "sleep", "stat")


class Vm:
    """The machine `vm` and the user to whom it belongs."""

    def __init__(self, home: Path, python_path: str) -> None:
        self.home = home
        self.environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(home),
            "USER": "nobody",
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(home / "run"),
            "PYTHONPATH": python_path,
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def __call__(self, *words: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """`devbox WORDS` as the user, to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "devbox", *words],
            cwd=self.home,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **self.identity,
        )
        if check and done.returncode:
            pytest.fail(
                f"devbox {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}{self.log()}"
            )
        return done

    def remote(self, *words: str, check: bool = True, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """`devbox --machine vm WORDS`: run in the machine."""
        return self("--machine", NAME, *words, check=check, timeout=timeout)

    @property
    def identity(self) -> dict[str, Any]:
        """For subprocess: as whom."""
        return {"user": USER, "group": USER, "extra_groups": [], "stdin": subprocess.DEVNULL}

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json").stdout)

    def log(self) -> str:
        path = self.home / ".local/share/devbox/machines" / NAME / "vagrant.log"
        return "\n".join(path.read_text().splitlines()[-40:]) if path.exists() else ""

    def processes(self) -> dict[int, str]:
        """What runs on this user's behalf: pid -> command line."""
        found = {}
        marker = f"HOME={self.home}".encode()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and marker in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found


@pytest.fixture(scope="session")
def box() -> Path:
    """The fast box, built when there is none of what it is made from."""
    if lacking := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"no real machine without {', '.join(lacking)}: provision/debian.sh machine")
    if platform.machine() != "x86_64":
        pytest.skip("the box of the tests is for amd64")
    digest = hashlib.sha256()
    sources = CHECKOUT / "provision"
    parts = [path for path in sorted((sources / "box").rglob("*")) if path.is_file()]
    digest.update(subprocess.check_output([sources / "debian.sh", "list", "engine"]))
    for path in (sources / "box.sh", sources / "vagrant.pub", *parts):
        digest.update(f"{path.relative_to(sources)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())

    def build(place: Path) -> None:
        subprocess.run([sources / "box.sh", "fast", place], check=True, timeout=900)

    return kept(f"box-{digest.hexdigest()[:16]}", build) / "devbox-libvirt-amd64.box"


def kept(name: str, make: Callable[[Path], object]) -> Path:
    """A file or directory of the cache, made if it is not there; older ones with the same beginning go."""
    cache = Path(os.environ.get("DEVBOX_TEST_CACHE", "/var/cache/devbox-test"))
    cache.mkdir(parents=True, exist_ok=True)
    place, unfinished = cache / name, cache / f"unfinished-{name}"
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            for old in (*cache.glob(f"{name.partition('-')[0]}-*"), *cache.glob("unfinished-*")):
                subprocess.run(["rm", "-rf", old], check=True)
            make(unfinished)
            unfinished.rename(place)
    return place


@pytest.fixture(scope="session")
def vm(box: Path) -> Iterator[Vm]:
    """The machine, up; destroyed in the end, after which nothing of it may be left."""
    if os.geteuid() != 0:
        pytest.skip("it takes root to become another user")
    home = Path(tempfile.mkdtemp(prefix="devbox-vm-", dir="/var/tmp"))
    try:
        machine = Vm(home, _furnish(home, box))
        try:
            machine("machine", "up", NAME, timeout=600)
            yield machine
            machine("machine", "destroy", "-f", NAME)
            left = {pid: line for pid, line in machine.processes().items() if "libvirtd" not in line}
            assert not left
        finally:
            _end_all(machine)
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def image(vm: Vm) -> str:
    """busybox, brought by `import` of a file that lies in no share."""
    archive = vm.home / "busybox.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for applet in APPLETS:
            info = tarfile.TarInfo(f"bin/{applet}")
            info.type, info.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(info)
        for name in ("etc/passwd", "etc/group"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    vm.remote("import", str(archive), "busybox")
    return "busybox"


def _furnish(home: Path, box: Path) -> str:
    """Make the user's home; what PYTHONPATH must be for them."""
    for directory in ("run", ".config/libvirt", ".config/devbox", "src", "other data"):
        (home / directory).mkdir(parents=True)
    (home / "run").chmod(0o700)
    # no root, so no security driver, and no virtlogd
    (home / ".config/libvirt/qemu.conf").write_text('security_driver = "none"\nstdio_handler = "file"\n')
    (home / ".config/devbox/machines.toml").write_text(
        f'[machines.{NAME}]\nprovider = "libvirt"\nconnection = "session"\nacceleration = "none"\n'
        f'memory = "768m"\nbox = "{home}/devbox.box"\n'
        f'shares = ["{home}/src", "{home}/other data:/srv/other data"]\n'
    )
    shutil.copyfile(box, home / "devbox.box")
    # the checkout may lie where the user cannot go
    code = home / "code"
    shutil.copytree(CHECKOUT / "devbox", code / "devbox", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(CHECKOUT / "Vagrantfile.template", code / "Vagrantfile.template")
    subprocess.run(["chown", "-R", f"{USER}:{USER}", home], check=True)
    home.chmod(0o755)
    return str(code)


def _end_all(machine: Vm) -> None:
    """End libvirtd, which would wait two minutes for more work, and whatever a failed test left."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in machine.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + 10
        while machine.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
