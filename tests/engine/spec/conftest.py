"""Containers run by the OCI runtime itself from what the spec room writes: no command line, no conmon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from devbox.container import records
from devbox.container.spec import configjson, mountlist, rootfs, surroundings
from devbox.model.container import Container, ContainerConfig
from devbox.store.database import Store
from devbox.store.root import Root
from devbox.system import procfs
from devbox.system.namespaces import private_mounts
from devbox.system.syscalls import MS_BIND, mount

BUSYBOX = "/bin/busybox"


class Ended(NamedTuple):
    status: int
    out: str
    err: str


class Lab:
    """A store, and a busybox root file system for each container."""

    def __init__(self, directory: Path, runtime: str) -> None:
        self.root = Root(str(directory / "state"), str(directory / "state/run"))
        self.store = Store.open(self.root)
        self.runtime = runtime
        self.made: list[str] = []

    def container(self, *command: str, **config: Any) -> Container:
        """A container with its directories and root file system."""
        wanted = ContainerConfig(command=command, runtime=self.runtime, network_mode="none")._replace(**config)
        container = Container(os.urandom(32).hex(), "lab", 0.0, "sha256:0", "busybox", wanted)
        os.makedirs(self.root.container(container.id))
        for name in ("hosts", "hostname", "resolv.conf"):
            Path(self.root.container(container.id), name).write_text(f"our {name}\n")
        make_root(Path(self.rootfs(container)))
        self.made.append(container.id)
        return container

    def rootfs(self, container: Container) -> str:
        return self.root.bundle(container.id) + "/rootfs"

    def write(self, container: Container) -> None:
        """Its config.json, as a start does it; in private mounts."""
        place = self.rootfs(container)
        mount(place, place, "", MS_BIND)
        prepared = rootfs.prepare(place, container, mountlist.resolve(self.store, container))
        netns = "host" if container.config.network_mode == "host" else ""
        setting = surroundings.gather(self.store, container, prepared, rootfs=place, netns=netns)
        Path(self.root.bundle(container.id), "config.json").write_text(
            json.dumps(configjson.document(container, setting))
        )

    def argv(self, *arguments: str) -> list[str]:
        return [f"/usr/{'s' * (self.runtime == 'runc')}bin/{self.runtime}", "--root", self.root.crun, *arguments]

    def run(self, container: Container) -> Ended:
        with private_mounts():
            self.write(container)
            argv = self.argv("run", "--bundle", self.root.bundle(container.id), container.id)
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, container: Container) -> Container:
        """Run it in the background and record that it runs."""
        pid_file = self.root.bundle(container.id) + "/pid"
        with private_mounts():
            self.write(container)
            argv = self.argv("run", "--detach", "--pid-file", pid_file, "--bundle", self.root.bundle(container.id))
            subprocess.run([*argv, container.id], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        pid = int(Path(pid_file).read_text())
        running = container._replace(pid=pid, pid_start=procfs.start_time(pid), status="running")
        with self.store.transaction():
            self.store.db.execute(
                "INSERT OR IGNORE INTO images (id, created, architecture, os, variant, size, document)"
                " VALUES (?, 0, '', 'linux', '', 0, '{}')",
                (container.image_id,),
            )
            records.insert(self.store, running._replace(name=container.id))
        return running

    def exec(self, container: Container, script: str) -> str:
        """What a shell in a running container prints."""
        argv = self.argv("exec", container.id, "sh", "-c", script)
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout

    def sh(self, script: str, **config: Any) -> Ended:
        """Run a shell script to its end."""
        return self.run(self.container("sh", "-c", script, **config))

    def close(self) -> None:
        for container_id in self.made:
            subprocess.run(self.argv("delete", "--force", container_id), capture_output=True)
        self.store.close()
        assert not [path for name in self.made for path in Path("/sys/fs/cgroup").glob(f"*/devbox/{name}")]


def make_root(root: Path) -> None:
    for name in ("bin", "etc", "root", "tmp"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for name in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/home/web:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nwheel:x:10:root,web\nweb:x:1000:\n")


RUNTIMES = [
    pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed"))
    for name in ("crun", "runc")
]


@pytest.fixture(params=RUNTIMES)
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """Each test runs with crun and with runc."""
    lab = Lab(tmp_path, request.param)
    yield lab
    lab.close()
