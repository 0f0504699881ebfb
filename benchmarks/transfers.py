"""Push and pull, with Debian's docker-registry on loopback; nothing leaves the machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks import measure
from benchmarks.engines import Engine
from benchmarks.rows import Row, at_most, times

_PORT = 5000
_NAME = f"127.0.0.1:{_PORT}/base"


class Registry:
    """A docker-registry, started when it is first needed; it ends with the namespaces it is in."""

    def __init__(self, disk: Path) -> None:
        self._data = disk / "registry"
        self._settings = disk / "registry.json"
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty."""
        self.empty()
        if self._server is not None:
            return
        settings = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self._data)}},
            "http": {"addr": f"127.0.0.1:{_PORT}"},
        }
        self._settings.write_text(json.dumps(settings))
        self._server = subprocess.Popen(
            ["/usr/bin/docker-registry", "serve", str(self._settings)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(1)

    def empty(self) -> None:
        """Forget all images."""
        shutil.rmtree(self._data, ignore_errors=True)


def rows(archive: Path, disk: Path) -> tuple[Row, ...]:
    """Rows with the base image of an archive that names it "base"."""
    registry = Registry(disk)
    megabytes = archive.stat().st_size / 1e6

    def load(engine: Engine) -> None:
        registry.start()
        engine("load", "-i", str(archive))
        engine("tag", "base", _NAME)

    def push(engine: Engine) -> float:
        registry.empty()
        return measure.milliseconds(engine, ("push", *_plain(engine), _NAME))

    def unload(engine: Engine) -> None:
        engine("rmi", "base", _NAME)

    def fill(engine: Engine) -> None:
        if engine.name == "devbox":  # comes first; all pull the same
            load(engine)
            engine("push", _NAME)
            unload(engine)

    def pull(engine: Engine) -> float:
        taken = measure.milliseconds(engine, ("pull", *_plain(engine), _NAME))
        engine("rmi", _NAME)
        return taken

    title = f"push of a base of {megabytes:.0f} MB to a registry of this machine that is empty"
    return (
        Row("push", title, push, at_most(1000), prepare=load, clean=unload, rounds_at_most=5),
        Row("pull", "pull of the same", pull, times(0.5, peer="podman"), prepare=fill, rounds_at_most=5),
    )


def _plain(engine: Engine) -> tuple[str, ...]:
    """docker and devbox take a registry of this machine without TLS; podman must be told to."""
    return ("--tls-verify=false",) if engine.name == "podman" else ()
