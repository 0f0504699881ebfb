"""A store filled by hand, and the command line run in this process: no root, no kernel."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from devbox.cli import main
from devbox.cli.context import Context
from devbox.container import records
from devbox.image import catalog, config
from devbox.model.container import Container, ContainerConfig, LogConfig
from devbox.model.image import HistoryEntry
from devbox.model.mount import Mount
from devbox.model.network import EndpointWish, PortWish
from devbox.store.database import Store
from devbox.store.root import Root
from devbox.system import procfs

WEB, REDIS, OLD, NEW = ("1" * 64, "2" * 64, "3" * 64, "4" * 64)
BRIDGE = "b" * 64
LAYER = "sha256:" + "c" * 64


class Printed(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Devbox = Callable[..., Printed]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    monkeypatch.setenv("DEVBOX_ROOT", str(tmp_path))
    return Root.from_environment()


@pytest.fixture
def store(root: Root) -> Store:
    """An image, its containers in several states, a network, a volume, a link and ports."""
    with Store.open(root) as opened:
        _fill(opened)
        return opened


@pytest.fixture
def devbox(store: Store, capsys: pytest.CaptureFixture[str]) -> Devbox:
    """Run a command line on the filled store."""

    def run(*words: str) -> Printed:
        code = main.run(list(words), Context())
        return Printed(code, *capsys.readouterr())

    return run


def _fill(store: Store) -> None:
    now = int(time.time())
    image = _image(store)
    running: dict[str, Any] = {
        "status": "running",
        "pid": os.getpid(),
        "pid_start": procfs.start_time(os.getpid()),
        "boot_id": procfs.boot_id(),
    }
    quiet = LogConfig(driver="none")
    bridge = (EndpointWish("bridge"),)
    web = ContainerConfig(
        command=("httpd", "-f", "-p", "80 81"),
        env=("PATH=/bin",),
        labels={"com.example.role": "front", "tier": "1"},
        mounts=(
            Mount("volume", "/data", "data"),
            Mount("bind", "/src", "/home/me/src", read_only=True, create_source=True),
        ),
        exposed=("443/tcp", "80/tcp"),
        ports=(PortWish(80, "tcp", 8080),),
        endpoints=bridge,
        log=quiet,
    )
    redis = ContainerConfig(command=("redis-server",), exposed=("6379/tcp",), endpoints=bridge, log=quiet)
    sh = ContainerConfig(entrypoint=("sh", "-c"), command=("exit 3",), network_mode="none", log=quiet)
    healthy = {"Status": "healthy", "FailingStreak": 0, "Log": []}
    rows = [
        Container(REDIS, "redis", now - 400, image, "busybox", redis, started=now - 400, **running),
        Container(
            WEB, "web", now - 330, image, "busybox:latest", web, started=now - 320, health=healthy, **running
        ),
        Container(
            OLD,
            "old",
            now - 90000,
            image,
            "gone:1",
            sh,
            "exited",
            started=now - 8000,
            finished=now - 7200,
            exit_code=3,
        ),
        Container(NEW, "new", now - 5, image, "busybox", sh),
    ]
    store.db.execute(
        "INSERT INTO networks "
        "(id, name, driver, created, subnet, gateway, bridge, internal, labels_json, options_json) "
        "VALUES (?, 'bridge', 'bridge', 1000, '172.17.0.0/16', '172.17.0.1', 'test0', 0, '{}', '{}')",
        (BRIDGE,),
    )
    for row in rows:
        records.insert(store, row)
    store.db.execute("INSERT INTO links VALUES (?, ?, 'db')", (WEB, REDIS))
    store.db.execute("INSERT INTO ports VALUES ('tcp', '0.0.0.0', 8080, ?, 80)", (WEB,))
    store.db.execute("INSERT INTO volumes VALUES ('data', 1000, 0, 'local', '{\"a\": \"b\"}', '{}')")
    store.db.execute("INSERT INTO container_volumes VALUES (?, 'data', '/data')", (WEB,))
    for number, container_id in enumerate((WEB, REDIS), start=2):
        place = (
            BRIDGE,
            container_id,
            f"172.17.0.{number}",
            16,
            "172.17.0.1",
            "02:42:ac:11:00:02",
            "eth0",
            f"v{number}",
        )
        store.db.execute("INSERT INTO endpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, '[]')", place)


def _image(store: Store) -> str:
    store.db.execute("INSERT INTO layers (id, diff_id, size, created) VALUES (1, ?, 1982804, 0)", (LAYER,))
    document = config.compose(
        created=1000.0,
        config={"Cmd": ["sh"], "Env": ["PATH=/bin"], "Labels": {"who": "me"}},
        diff_ids=[LAYER],
        history=[HistoryEntry(created_by="test")],
        platform=("amd64", ""),
    )
    return catalog.add(store, json.dumps(document).encode(), [1], names=["busybox"], reason="import").id
