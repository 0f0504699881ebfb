"""A store with containers, networks and places, without anything in the kernel."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devbox.container import records
from devbox.model.container import Container, ContainerConfig
from devbox.model.network import EndpointWish
from devbox.store.database import Store
from devbox.store.root import Root
from devbox.system import procfs


class World:
    """Rows as a start would leave them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.db.execute(
            "INSERT INTO images (id, created, architecture, os, variant, size, document) "
            "VALUES ('sha256:0', 0, 'amd64', 'linux', '', 0, '{}')"
        )
        for number, name in enumerate(("bridge", "host", "none")):
            self.network(name, driver="null" if number else "bridge", subnet="" if number else "172.17.0.0/16")

    def network(
        self, name: str, subnet: str = "", *, driver: str = "bridge", internal: bool = False, own: bool = False
    ) -> str:
        identity = secrets.token_hex(32)
        gateway = subnet.rpartition(".")[0] + ".1" if subnet else ""
        bridge = f"x{identity[:8]}" if subnet else ""
        self.store.db.execute(
            "INSERT INTO networks (id, name, driver, created, subnet, gateway, bridge, internal, labels_json, "
            "options_json, own_subnet) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '{}', '{}', ?)",
            (identity, name, driver, time.time(), subnet, gateway, bridge, int(internal), int(own)),
        )
        return identity

    def container(
        self, name: str, *, running: bool = False, networks: Any = ("bridge",), **config: Any
    ) -> Container:
        wishes = tuple(EndpointWish(network) if isinstance(network, str) else network for network in networks)
        container = Container(
            id=secrets.token_hex(32),
            name=name,
            created=time.time(),
            image_id="sha256:0",
            image_name="busybox",
            config=ContainerConfig(endpoints=wishes, **config),
        )
        if running:
            container = container._replace(
                status="running",
                pid=os.getpid(),
                pid_start=procfs.start_time(os.getpid()),
                boot_id=procfs.boot_id(),
            )
        records.insert(self.store, container)
        os.makedirs(self.store.root.container(container.id))
        return container

    def place(
        self, container: Container, network: str, address: str, *, interface: str = "eth0", aliases: str = "[]"
    ) -> None:
        row = self.store.db.execute("SELECT * FROM networks WHERE name = ?", (network,)).fetchone()
        gateway = "" if row["internal"] else row["gateway"]
        self.store.db.execute(
            "INSERT INTO endpoints VALUES (?, ?, ?, 16, ?, '02:42:00:00:00:00', ?, ?, ?)",
            (row["id"], container.id, address, gateway, interface, secrets.token_hex(6), aliases),
        )

    def hosts(self, container: Container) -> list[str]:
        """The lines of its hosts file after the standard ones."""
        text = Path(self.store.root.container(container.id), "hosts").read_text()
        return text.splitlines()[6:]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Store.open(Root(str(tmp_path), str(tmp_path / "run"))) as store:
        yield World(store)
