"""docker and podman: installed when asked for, started for the time of the measurement."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import engines
from benchmarks.engines import Engine

PACKAGES = ("docker.io", "podman", "runc", "crun", "conmon", "containernetworking-plugins", "iptables")
_START_SECONDS = 30.0


def install() -> None:
    """Install both with apt; what a host does with a service that comes with them is its own affair."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
    subprocess.run(command, env=environment, check=True)


@contextlib.contextmanager
def docker(disk: Path) -> Iterator[Engine | None]:
    """docker with a daemon of its own in the current namespaces; None where it is not installed."""
    if not os.path.exists("/usr/sbin/dockerd"):
        yield None
        return
    command = [
        "/usr/sbin/dockerd", "--data-root", str(disk / "docker"), "--exec-root", "/run/docker",
        "--pidfile", "/run/docker.pid", "--host", "unix:///run/docker.sock", "--storage-driver", "overlay2",
    ]  # fmt: skip
    log = Path("/run/dockerd.log")
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        _await_daemon(daemon, log)
        yield engines.docker(disk)
    finally:
        daemon.terminate()
        daemon.wait(timeout=_START_SECONDS)


def _await_daemon(daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    probe = ["/usr/bin/docker", "--host", "unix:///run/docker.sock", "info"]
    while subprocess.run(probe, capture_output=True, check=False).returncode:
        if daemon.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"benchmarks: dockerd does not start:\n{tail}")
        time.sleep(0.2)


def podman(disk: Path) -> Engine | None:
    """podman, or None where it is not installed."""
    return engines.podman(disk) if os.path.exists("/usr/bin/podman") else None
