"""The container engines that are compared: how each is called and where it keeps its things."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.place import call

_PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


class FailedError(Exception):
    """A command of an engine that ended with a status other than 0."""


class Engine(NamedTuple):
    """One engine: devbox, docker or podman."""

    name: str
    version: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    daemons: frozenset[str] = frozenset()
    """names of the programs that run whether or not there are containers"""
    removal: tuple[str, ...] = ("rm", "--force")
    """how a running container is killed and removed without giving it time"""

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start one of its commands, output captured (the little there is must fit a pipe)."""
        return subprocess.Popen(
            [*self.command, *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def finish(self, running: subprocess.Popen[bytes]) -> None:
        """Wait for a command that must succeed."""
        _, errors = running.communicate(timeout=600)
        if running.returncode:
            words = " ".join(map(str, running.args)) if isinstance(running.args, list) else ""
            raise FailedError(f"{words}: {running.returncode}: {errors.decode(errors='replace').strip()}")

    def __call__(self, *words: str) -> None:
        """Run a command that must succeed."""
        self.finish(self.start(*words))


def devbox(venv: Path, disk: Path) -> Engine:
    """The devbox of a virtual environment; its run directory is a tmpfs, as /run is everywhere."""
    root = disk / "devbox"
    (root / "run").mkdir(parents=True, mode=0o700)
    call("mount", "-t", "tmpfs", "tmpfs", str(root / "run"))
    command = (str(venv / "bin/devbox"),)
    version = call(*command, "--version").split()[-1]
    return Engine("devbox", version, command, {**_environment(), "DEVBOX_ROOT": str(root)})


def docker(disk: Path) -> Engine:
    """docker, whose daemon is to be started first (see `peers`)."""
    command = ("/usr/bin/docker", "--host", "unix:///run/docker.sock")
    version = call(*command, "version", "--format", "{{.Server.Version}}").strip()
    environment = {**_environment(), "DOCKER_BUILDKIT": "1"}
    return Engine("docker", version, command, environment, frozenset(("dockerd", "containerd")))


def podman(disk: Path) -> Engine:
    """podman with the storage driver and runtime that Debian gives it, without systemd."""
    command = (
        "/usr/bin/podman", "--root", str(disk / "podman"), "--runroot", "/run/podman",
        "--cgroup-manager", "cgroupfs", "--events-backend", "file",
    )  # fmt: skip
    version = call(*command, "version", "--format", "{{.Client.Version}}").strip()
    return Engine("podman", version, command, _environment(), removal=("rm", "--force", "--time", "0"))


def _environment() -> dict[str, str]:
    # what a shell would have: PYTHONDONTWRITEBYTECODE of the caller would slow devbox down
    return {"PATH": _PATH, "HOME": "/run", "TERM": "dumb", "LANG": os.environ.get("LANG", "C.UTF-8")}
